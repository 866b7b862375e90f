"""What an export of ours says beside what its format has a place for, so that it can be imported without settings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from channelbench.errors import RequestError
from channelbench.frozen import Frozen
from channelbench.spec import SPLITS, BandSpec, SizesSpec
from channelbench.store.dataset import ChannelDataset

__all__ = ["ExportRecord", "split_numbers"]


class ExportRecord(Frozen):
    """Of one band.

    Attributes:
        band: Its grid and array.
        sizes: Links of each split; train, val and test follow each other.
        digest: Of the dataset's content.
        source: What its source is called.
        licence, citation: Of the dataset.
    """

    band: BandSpec
    sizes: SizesSpec
    digest: str
    source: str
    licence: str
    citation: str

    @classmethod
    def of(cls, dataset: ChannelDataset, band: BandSpec) -> ExportRecord:
        """That of a dataset's band."""
        source = dataset.spec.source
        return cls(
            band=band,
            sizes=dataset.spec.sizes,
            digest=dataset.digest,
            source=source.label,
            licence=source.licence,
            citation=source.citation,
        )

    @classmethod
    def read(cls, written: Any, field: str) -> ExportRecord:
        """What ``model_dump(mode="json")`` has written.

        Raises:
            RequestError: it is something else.
        """
        try:
            return cls.model_validate(written)
        except (ValidationError, RequestError) as error:
            said = RequestError.from_pydantic(error, cls) if isinstance(error, ValidationError) else error
            raise RequestError(field, expected="a record as channelbench exports it", got=str(said)) from None


def split_numbers(sizes: SizesSpec) -> NDArray[np.int8]:
    """The split of each link where splits follow each other, ``[links]``."""
    return np.repeat(np.arange(len(SPLITS), dtype=np.int8), [sizes.of(split) for split in SPLITS])
