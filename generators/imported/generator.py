"""The scenario ``imported``: samples come from a file that is open in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from channelbench.card import Card
from channelbench.errors import RequestError
from channelbench.generator import Block, Generator
from channelbench.generators.imported.columns import columns_of
from channelbench.generators.imported.opened import Opened, opened_for
from channelbench.generators.imported.source import COMMAND, FADED, UNKNOWN_GEOMETRY, ImportedSource
from channelbench.spec import BLOCK_SIZE, SPLITS, ScenarioSpec
from channelbench.store.schema import variables

__all__ = ["Imported"]


class Imported(Generator):
    """Channels of other people's files. ``importing.import_dataset`` opens the file and then has ``generate`` write the
    dataset as it writes all others."""

    card: ClassVar[Card] = Card(
        name="imported",
        title="Imported",
        description=f"Channels that were made or measured elsewhere: `{COMMAND}`.",
        reference="that of the file's format and its data, in the dataset's attributes",
        family="scenario",
    )
    geometry: ClassVar[Mapping[str, Any]] = dict.fromkeys(UNKNOWN_GEOMETRY)
    source: ClassVar[type[ImportedSource]] = ImportedSource

    @classmethod
    def cautions(cls, spec: ScenarioSpec) -> list[str]:
        """Also path gains that have fading in them."""
        source = cast(ImportedSource, spec.source)
        faded = [f"path_gain_db: {FADED}"] if source.scale == "physical" else []
        return [*super().cautions(spec), *faded]

    @classmethod
    def check(cls, spec: ScenarioSpec) -> None:
        """Whether the file is open in this process.

        Raises:
            RequestError: it is not; ``import`` opens it.
        """
        _opened(spec)

    def sample(self, spec: ScenarioSpec, block: Block, seed: int) -> dict[str, NDArray[Any]]:
        opened, source, split = _opened(spec), cast(ImportedSource, spec.source), SPLITS.index(block.split)
        first = block.index * BLOCK_SIZE
        rows = opened.shared.rows(block.split)[first + block.start : first + block.stop]
        made = columns_of(
            opened.links(rows, spec.bands),
            spec.bands,
            scale=source.scale,
            constants=dict(zip(spec.bands, source.constants, strict=False)),
            squint=source.squint,
            bs_height_m=spec.bs_height_m,
        )
        made["drop"] = opened.shared.unit[rows]
        made["block"] = np.full(len(rows), block.index)
        made["split"] = np.full(len(rows), split)
        return {name: made[name] for name in variables(spec)}


def _opened(spec: ScenarioSpec) -> Opened:
    source = cast(ImportedSource, spec.source)
    opened = opened_for(spec)
    if opened is None:
        expected = f"its file, which `{COMMAND}` opens"
        raise RequestError("source", expected=expected, got=f"{source.name} alone ({source.sha256[:12]}…)")
    return opened
