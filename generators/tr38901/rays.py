"""One environment, several carriers: what the bands share of TR 38.901 clause 7.5, and what each has for itself.

Stock Sionna has no model of several frequencies (TR 38.901 clause 7.6.5). The rule here:

- common to the bands: drop, line-of-sight state, the Gaussians behind the large-scale parameters, cluster delays, and
  cluster and ray angles, all drawn at the first band, the anchor;
- per band: path loss, mean and deviation of the large-scale parameters, cluster powers, initial phases.

What is drawn at the anchor comes from one of two engines: Sionna's own classes (``rays_sionna``), or loops of ours
that follow the same steps with the same parameters (``rays_fast``). There are no cross-polarisation ratios: between one
vertically polarised element at either end, both upright, the field matrix of Eq. 7.5-22 reduces to exp(jΦ^θθ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.generators.tr38901.clusters import MIN_CLUSTER_POWER, AnchorRays, delay_scaling
from channelbench.generators.tr38901.drops import Drops, Streams
from channelbench.generators.tr38901.large_scale import LargeScale
from channelbench.generators.tr38901.rays_fast import draw as draw_fast
from channelbench.generators.tr38901.rays_sionna import draw as draw_sionna
from channelbench.generators.tr38901.scenarios import links, set_topologies
from channelbench.generators.tr38901.source import StochasticSource
from channelbench.spec import ScenarioSpec

__all__ = ["BandRays", "draw_rays", "other_band_powers"]


@dataclass(frozen=True, kw_only=True)
class BandRays:
    """What one block's links look like in one band. Angles are in radians, powers linear.

    Attributes:
        los: Line of sight, ``[links]``.
        large_scale: As drawn.
        cluster_delay_spread_s: c_DS of step 11, ``[links]``.
        power: Of the clusters, before the line of sight takes its share; removed ones have power 0,
            ``[links, clusters]``.
        strongest: The two clusters that step 11 splits up, ``[links, 2]``.
        phase: Initial phases Φ^θθ, ``[links, clusters, rays]``.
        anchor: What the bands share; its powers are the anchor's.
    """

    los: NDArray[np.bool_]
    large_scale: LargeScale
    cluster_delay_spread_s: NDArray[np.float64]
    power: NDArray[np.float64]
    strongest: NDArray[np.int64]
    phase: NDArray[np.float64]
    anchor: AnchorRays


def draw_rays(spec: ScenarioSpec, drops: Drops, streams: Streams, build: Callable[[float], Any]) -> dict[str, BandRays]:
    """The rays of all bands of one block.

    Args:
        spec: State, bands, and of the source ``engine`` and ``rho_z`` are read.
        drops: The links.
        streams: The random streams of the block.
        build: Makes a Sionna ``SystemLevelScenario`` for a carrier in Hz.
    """
    import torch
    from sionna.phy import config

    source = cast(StochasticSource, spec.source)
    draw = draw_sionna if source.engine == "sionna" else draw_fast
    # Sionna draws everything from this generator. Seeding the generator itself, rather than setting config.seed,
    # leaves torch's global generator and Sionna's numpy and Python ones as they are.
    generator = config.torch_rng("cpu")
    state = generator.get_state()
    try:
        scenarios = {name: build(band.carrier_hz) for name, band in spec.bands.items()}
        # Nothing is differentiated, and to note what would be needed for that slows operations on small tensors.
        with torch.inference_mode():
            los = set_topologies(spec, drops, streams, scenarios, generator)
        large_scale, anchor = draw(los, scenarios, streams, generator)
        powers = _band_powers(source.rho_z, los, scenarios, large_scale, anchor, streams)
        return {
            band: BandRays(
                los=los,
                large_scale=large_scale[band],
                cluster_delay_spread_s=links(scenarios[band].get_param("cDS")) * 1e-9,
                power=powers[band],
                # Each band splits its own two strongest clusters, as step 11 says.
                strongest=np.argsort(-powers[band], axis=-1, kind="stable")[:, :2],
                phase=np.random.default_rng(stream).uniform(-np.pi, np.pi, anchor.aod.shape),
                anchor=anchor,
            )
            for band, stream in zip(scenarios, streams.phases, strict=True)
        }
    finally:
        generator.set_state(state)


def _band_powers(
    rho_z: float,
    los: NDArray[np.bool_],
    scenarios: dict[str, Any],
    large_scale: dict[str, LargeScale],
    anchor: AnchorRays,
    streams: Streams,
) -> dict[str, NDArray[np.float64]]:
    first, *others = scenarios
    powers = {first: anchor.power}
    innovations = np.random.default_rng(streams.shadowing)
    for band in others:
        powers[band] = other_band_powers(
            power=anchor.power,
            delay_s=anchor.delay_s * delay_scaling(los, large_scale[first].k_factor)[:, None],
            ds_anchor=large_scale[first].ds,
            ds_band=large_scale[band].ds,
            delay_scaling=links(scenarios[band].get_param("rTau")),
            zeta_anchor=links(scenarios[first].get_param("zeta")),
            zeta_band=links(scenarios[band].get_param("zeta")),
            rho_z=rho_z,
            innovation=innovations.standard_normal(anchor.power.shape),
        )
    return powers


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
