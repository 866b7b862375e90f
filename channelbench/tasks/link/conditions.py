"""What may be varied about the observation of a link."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from channelbench.conditions import Conditions

__all__ = ["TRAIN_SNR_DB", "CombConditions", "LinkConditions", "PilotConditions", "SlotConditions"]

TRAIN_SNR_DB = (5.0, 20.0)
"""Training draws each sample's SNR uniformly from this range."""


class LinkConditions(Conditions):
    """Noise.

    Attributes:
        snr_db: SNR of a test's observations.
        snr_reference: Whose mean power the SNR is relative to: each ``sample``'s, or the training ``set``'s.
        paper_compat: Targets of channel tasks carry the observation's noise, and the reference is ``set``, as in
            LLM4WM's public evaluation.
    """

    snr_db: float = Field(10.0, ge=-50, le=100)
    snr_reference: Literal["sample", "set"] = "sample"
    paper_compat: bool = False

    @property
    def effective_snr_reference(self) -> str:
        """``paper_compat`` implies the set's mean power as reference."""
        return "set" if self.paper_compat else self.snr_reference

    @property
    def sentence(self) -> str:
        reference = "each sample's" if self.effective_snr_reference == "sample" else "the training set's"
        targets = "targets carry the pilots' noise" if self.paper_compat else "targets are clean"
        snr = f"{self.snr_db:g}".replace("-", "−")
        return f"SNR {snr} dB relative to {reference} mean power; {targets}"


class CombConditions(LinkConditions):
    """Noise, and the comb of pilots.

    Attributes:
        pilot_spacing: Subcarriers from one pilot to the next.
    """

    refits: ClassVar[frozenset[str]] = frozenset({"pilot_spacing"})

    pilot_spacing: int = Field(8, ge=1)

    @property
    def sentence(self) -> str:
        return f"{super().sentence}; every{_ordinal(self.pilot_spacing)} subcarrier is seen"


class PilotConditions(LinkConditions):
    """Noise, and whether all subcarriers are seen or a comb of pilots.

    Attributes:
        pilot_spacing: Subcarriers from one pilot to the next, where only they are seen.
        pilots_only: Only pilots are seen, as in LLM4WM's public code.
    """

    refits: ClassVar[frozenset[str]] = frozenset({"pilot_spacing", "pilots_only"})

    pilot_spacing: int = Field(8, ge=1)
    pilots_only: bool = False

    @property
    def sentence(self) -> str:
        seen = f"every{_ordinal(self.pilot_spacing)} subcarrier is" if self.pilots_only else "all subcarriers are"
        return f"{super().sentence}; {seen} seen"


class SlotConditions(PilotConditions):
    """And how many slots are observed and predicted.

    Attributes:
        observed_slots: The first so many; four fifths of those there are, if left out.
        predicted_slots: So many after these; all that follow, if left out.
    """

    refits: ClassVar[frozenset[str]] = PilotConditions.refits | {"observed_slots", "predicted_slots"}

    observed_slots: int | None = Field(None, ge=1)
    predicted_slots: int | None = Field(None, ge=1)

    @property
    def sentence(self) -> str:
        parts = [super().sentence]
        if self.observed_slots is not None:
            parts.append(f"{self.observed_slots} slots are observed")
        if self.predicted_slots is not None:
            parts.append(f"{self.predicted_slots} are predicted")
        return "; ".join(parts)


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return "" if number == 1 else f" {number}{suffix}"
