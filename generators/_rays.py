"""Clusters and rays of TR 38.901 clause 7.5, drawn by Sionna's public classes: one environment, several carriers.

Stock Sionna has no model of several frequencies (TR 38.901 clause 7.6.5). The rule here:

- common to the bands: drop, line-of-sight state, the Gaussians behind the large-scale parameters, cluster delays, and
  cluster and ray angles, all drawn at the first band, the anchor;
- per band: path loss, mean and deviation of the large-scale parameters, cluster powers, initial phases.

Cross-polarisation ratios are drawn by Sionna with the rays and dropped: between one vertically polarised element at
either end, both upright, the field matrix of Eq. 7.5-22 reduces to exp(jΦ^θθ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.generators._drops import Drops, Streams
from channelbench.spec import BLOCK_SIZE, ScenarioSpec

__all__ = ["BandRays", "draw_rays", "other_band_powers", "single_element"]

PRECISION = "double"
"""In single precision Sionna's own 2πd/λ is off by 1e-2 to 1e-1; drawing in double costs a fifth of the drawing."""

MIN_CLUSTER_POWER = 10**-2.5
"""Step 6 removes clusters that are more than 25 dB below the strongest."""


@dataclass(frozen=True, kw_only=True)
class BandRays:
    """What one block's links look like in one band. Angles are in radians, powers linear.

    Attributes:
        los: Line of sight, ``[links]``.
        path_gain_db: −(path loss + shadowing), ``[links]``.
        k_factor: Rician K, linear; without meaning where there is no line of sight, ``[links]``.
        cluster_delay_spread_s: c_DS of step 11, ``[links]``.
        delay_s, power: Of the clusters, before the line of sight takes its share; removed ones have power 0,
            ``[links, clusters]``.
        strongest: The two clusters that step 11 splits up, ``[links, 2]``.
        aod, zod, aoa, zoa: Of the rays, ``[links, clusters, rays]``.
        phase: Initial phases Φ^θθ, ``[links, clusters, rays]``.
        lsp: The large-scale parameters as drawn, by name, ``[links]``: ``ds`` s, ``asd`` and ``asa`` degrees, ``sf``
            linear.
    """

    los: NDArray[np.bool_]
    path_gain_db: NDArray[np.float64]
    k_factor: NDArray[np.float64]
    cluster_delay_spread_s: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    power: NDArray[np.float64]
    strongest: NDArray[np.int64]
    aod: NDArray[np.float64]
    zod: NDArray[np.float64]
    aoa: NDArray[np.float64]
    zoa: NDArray[np.float64]
    phase: NDArray[np.float64]
    lsp: dict[str, NDArray[np.float64]]


def draw_rays(
    spec: ScenarioSpec, drops: Drops, streams: Streams, build: Callable[[float, str], Any]
) -> dict[str, BandRays]:
    """The rays of all bands of one block.

    Args:
        spec: State, bands and ``rho_z`` are read.
        drops: The links.
        streams: The random streams of the block.
        build: Makes a Sionna ``SystemLevelScenario`` for a carrier in Hz in a precision.
    """
    from sionna.phy import config
    from sionna.phy.channel.tr38901 import LSPGenerator, RaysGenerator

    # Sionna draws everything from this generator. Seeding the generator itself, rather than setting config.seed,
    # leaves torch's global generator and Sionna's numpy and Python ones as they are.
    generator = config.torch_rng("cpu")
    state = generator.get_state()
    try:
        bands = list(spec.bands)
        scenarios = {band: build(spec.bands[band].carrier_hz, PRECISION) for band in bands}
        los = _set_topologies(spec, drops, streams, scenarios, generator)
        # The same Gaussians in every band: they are the first thing that an LSPGenerator draws.
        large_scale = {}
        for band, scenario in scenarios.items():
            sampler = LSPGenerator(scenario)
            sampler.topology_updated_callback()
            generator.manual_seed(_torch_seed(streams.large_scale))
            large_scale[band] = sampler()
        anchor = scenarios[bands[0]]
        rays_sampler = RaysGenerator(anchor)
        rays_sampler.topology_updated_callback()
        generator.manual_seed(_torch_seed(streams.rays))
        rays = rays_sampler(large_scale[bands[0]])
        return _per_band(spec, los, scenarios, large_scale, rays, streams)
    finally:
        generator.set_state(state)


def single_element(carrier_hz: float, precision: str) -> Any:
    """One upright omnidirectional element: scenarios ask for arrays, rays do not depend on them."""
    from sionna.phy.channel.tr38901 import PanelArray

    return PanelArray(1, 1, "single", "V", "omni", carrier_hz, precision=precision, device="cpu")


def _torch_seed(stream: np.random.SeedSequence) -> int:
    return int(stream.generate_state(1, np.uint64)[0])


def _set_topologies(
    spec: ScenarioSpec, drops: Drops, streams: Streams, scenarios: dict[str, Any], generator: Any
) -> NDArray[np.bool_]:
    """Place the links, one user and one base station each, and settle who sees whom; returns ``los`` ``[links]``."""
    import torch

    zeros = torch.zeros(BLOCK_SIZE, 1, 3, dtype=torch.float64)
    nobody = torch.zeros(BLOCK_SIZE, 1, dtype=torch.bool)
    place: dict[str, Any] = {
        "ut_loc": torch.from_numpy(drops.position)[:, None],
        "bs_loc": torch.from_numpy(drops.bs_position).expand(BLOCK_SIZE, 1, 3),
        "ut_orientations": zeros,
        "bs_orientations": zeros,
        "ut_velocities": torch.from_numpy(drops.velocity)[:, None],
        "in_state": nobody,
    }
    anchor = next(iter(scenarios.values()))
    if anchor.scenario_kind == "rma":
        place["in_car"] = nobody  # Sionna otherwise puts every rural user into a car, with its penetration loss

    def settle(scenario: Any, los: NDArray[np.bool_]) -> None:
        # Each band draws the same environment heights (UMa, users above 13 m): they belong to the place.
        generator.manual_seed(_torch_seed(streams.environment))
        scenario.set_topology(**place, los=torch.from_numpy(los)[:, None, None])

    los = np.full(BLOCK_SIZE, spec.state == "los")
    settle(anchor, los)
    if spec.state == "random":
        # Table 7.4.2-1; a probability of the place, not of the carrier, so one draw serves all bands.
        probability = anchor.los_probability.numpy().reshape(BLOCK_SIZE)
        los = np.random.default_rng(streams.los).random(BLOCK_SIZE) < probability
        settle(anchor, los)
    for scenario in list(scenarios.values())[1:]:
        settle(scenario, los)
    return los


def _per_band(
    spec: ScenarioSpec,
    los: NDArray[np.bool_],
    scenarios: dict[str, Any],
    large_scale: dict[str, Any],
    rays: Any,
    streams: Streams,
) -> dict[str, BandRays]:
    anchor, *others = scenarios
    # Masked clusters stand at enormous delays; they carry no power and nothing may depend on where they stand.
    power = _links(rays.powers)
    delay = np.where(power > 0, _links(rays.delays), 0.0)
    powers = {anchor: power}
    innovations = np.random.default_rng(streams.shadowing)
    for band in others:
        powers[band] = other_band_powers(
            power=power,
            delay_s=delay * _los_delay_scaling(los, _links(large_scale[anchor].k_factor))[:, None],
            ds_anchor=_links(large_scale[anchor].ds),
            ds_band=_links(large_scale[band].ds),
            delay_scaling=_links(scenarios[band].get_param("rTau")),
            zeta_anchor=_links(scenarios[anchor].get_param("zeta")),
            zeta_band=_links(scenarios[band].get_param("zeta")),
            rho_z=spec.rho_z,
            innovation=innovations.standard_normal(power.shape),
        )
    angles = {name: _links(getattr(rays, name)) for name in ("aod", "zod", "aoa", "zoa")}
    result = {}
    for band, stream in zip(scenarios, streams.phases, strict=True):
        lsp = large_scale[band]
        result[band] = BandRays(
            los=los,
            path_gain_db=10 * np.log10(_links(lsp.sf)) - _links(lsp.pathloss),
            k_factor=_links(lsp.k_factor),
            cluster_delay_spread_s=_links(scenarios[band].get_param("cDS")) * 1e-9,
            delay_s=delay,
            power=powers[band],
            # Each band splits its own two strongest clusters, as step 11 says.
            strongest=np.argsort(-powers[band], axis=-1, kind="stable")[:, :2],
            phase=np.random.default_rng(stream).uniform(-np.pi, np.pi, angles["aod"].shape),
            lsp={name: _links(getattr(lsp, name)) for name in ("ds", "asd", "asa", "sf")},
            **angles,
        )
    return result


def _links(tensor: Any) -> NDArray[np.float64]:
    """``[links, 1, 1, ...]`` of Sionna to ``[links, ...]``."""
    return tensor.numpy()[:, 0, 0]


def _los_delay_scaling(los: NDArray[np.bool_], k_factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """C_τ of Eq. 7.5-3, by which step 5 has divided the delays of links with line of sight, ``[links]``."""
    k = 10 * np.log10(k_factor)
    return np.where(los, 0.7705 - 0.0433 * k + 0.0002 * k**2 + 0.000017 * k**3, 1.0)


def other_band_powers(
    *,
    power: NDArray[np.float64],
    delay_s: NDArray[np.float64],
    ds_anchor: NDArray[np.float64],
    ds_band: NDArray[np.float64],
    delay_scaling: NDArray[np.float64],
    zeta_anchor: NDArray[np.float64],
    zeta_band: NDArray[np.float64],
    rho_z: float,
    innovation: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cluster powers of a band whose delay spread is ``ds_band`` at the delays that the anchor has drawn.

    Eq. 7.5-5 lets a cluster's power decay as exp(−τ(r−1)/(r·DS)) because its delay is exponential with mean r·DS. At
    the anchor's delays, of mean r·DS_a, the decay that gives the band its own delay spread is
    g = max(r·DS_a − DS_b, 0)/(DS_b·r·DS_a); it is Eq. 7.5-5 where DS_b = DS_a.

    The anchor's cluster shadowing Z is what its powers hold besides that decay, up to a constant that normalisation
    takes away; the band's is ρ·Z_a + √(1−ρ²)·Z' with a fresh Z'. Clusters that the anchor has removed stay removed,
    since their Z is unknown; what they carried is left out of the sum in both bands.

    Args:
        power: Of the anchor's clusters, 0 where removed, ``[links, clusters]``.
        delay_s: Of the anchor's clusters, without the scaling of Eq. 7.5-4, ``[links, clusters]``.
        ds_anchor, ds_band: Drawn delay spreads, s, ``[links]``.
        delay_scaling: r_τ, ``[links]``.
        zeta_anchor, zeta_band: Deviation of Z, dB, ``[links]``.
        rho_z: Correlation of Z between the bands.
        innovation: Standard normal Z', ``[links, clusters]``.

    Returns:
        Powers of the band's clusters, ``[links, clusters]``.
    """
    alive = power > 0
    ds_a, ds_b, r = ds_anchor[:, None], ds_band[:, None], delay_scaling[:, None]
    decibels = 10 * np.log10(np.where(alive, power, 1.0))
    nepers_to_db = 10 / np.log(10)
    decay_anchor = (r - 1) / (r * ds_a)
    decay_band = np.maximum(r * ds_a - ds_b, 0) / (ds_b * r * ds_a)
    z_anchor = -(decibels + nepers_to_db * decay_anchor * delay_s) / zeta_anchor[:, None]
    z_band = rho_z * z_anchor + np.sqrt(1 - rho_z**2) * innovation
    exponent_db = -nepers_to_db * decay_band * delay_s - zeta_band[:, None] * z_band
    exponent_db -= np.max(exponent_db, axis=-1, keepdims=True, where=alive, initial=-np.inf)
    raw = np.where(alive, 10 ** (exponent_db / 10), 0.0)
    result = raw * (power.sum(axis=-1) / raw.sum(axis=-1))[:, None]
    return np.where(result >= MIN_CLUSTER_POWER * result.max(axis=-1, keepdims=True), result, 0.0)
