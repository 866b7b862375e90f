"""A sub-6-GHz scan of the mmWave codebook's directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.contracts import Method
from channelbench.solvers.dft import steering_vectors
from channelbench.tasks.link.observations import BeamObservation

__all__ = ["Codebook"]


class Codebook(Method):
    """Points the mmWave beam where the sub-6-GHz channel carries the most power."""

    card = Card(
        name="codebook",
        title="Codebook",
        description="Scans the sub-6-GHz channel with steering vectors at the directions of all mmWave beams.",
        reference="Ali, González-Prelcic and Heath 2017, Millimeter wave beam-selection using out-of-band spatial "
        "information; LLM4WM, section V-B",
        family="classical",
        notes=(
            "A beam's score is the power that its direction's sub-6-GHz steering vector receives, summed over "
            "subcarriers. The two arrays must be co-located, parallel linear arrays. Steering vectors follow each "
            "subcarrier's frequency."
        ),
    )
    observes = (BeamObservation,)

    def predict(self, task: str, observation: BeamObservation) -> NDArray[Any]:
        grid = observation.grid
        scan = steering_vectors(
            grid.antenna_position, beam_directions(observation), grid.subcarrier_hz / grid.carrier_hz
        )
        # [batch, subcarriers, slots, antennas] @ [subcarriers, antennas, beams]
        received = observation.h.swapaxes(1, 2) @ scan.conj().astype(np.complex64)
        return (received.real**2 + received.imag**2).sum(axis=(1, 2), dtype=np.float64).astype(np.float32)


def beam_directions(observation: BeamObservation) -> NDArray[np.float64]:
    """Unit vectors in the horizontal plane that the DFT beams point to at the mmWave carrier, ``[beams, 3]``.

    Beam k has the spatial frequency k/K, wrapped to [−1/2, 1/2), which is d·u_y for elements d wavelengths apart on
    the y axis. Beams of denser arrays that point nowhere are clipped to end fire.
    """
    num_beams = observation.grid.num_beams
    sine = np.clip(np.fft.fftfreq(num_beams) / observation.grid.beam_spacing_wavelengths, -1, 1)
    return np.stack([np.sqrt(1 - sine**2), sine, np.zeros(num_beams)], axis=-1)
