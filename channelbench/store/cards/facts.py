"""What card, Croissant metadata and Zenodo's say of a dataset: gathered once, from its own attributes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from channelbench.errors import RequestError
from channelbench.published import repository
from channelbench.quantities import band_words
from channelbench.sources import makers
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store.cards.licences import UNSTATED
from channelbench.store.cards.recipe import Recipe
from channelbench.store.dataset import ChannelDataset
from channelbench.store.location import ROOT
from channelbench.store.schema import coordinates
from channelbench.variables import Variable

__all__ = ["Facts", "Publication", "StoredArray"]


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What a dataset does not know of itself: who publishes it, and where.

    Attributes:
        authors: Names, ``Family, Given``.
        url: Its page, once it has one.
        doi: Its DOI, once it has one.
    """

    authors: tuple[str, ...] = ()
    url: str = ""
    doi: str = ""


@dataclass(frozen=True)
class StoredArray:
    """One array of the Zarr group.

    Attributes:
        name: Of the array.
        dims: Of its dimensions, in order.
        shape: Its lengths along them.
        dtype: numpy's name.
        unit: UDUNITS string.
        description: What it is.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    unit: str
    description: str

    @classmethod
    def of(cls, name: str, variable: Variable, samples: int) -> StoredArray:
        """The array of a variable, one row per sample."""
        shape = (samples, *variable.shape[1:])
        return cls(name, variable.dims, shape, variable.dtype, variable.unit, variable.long_name)

    @property
    def lengths(self) -> str:
        """Dimensions with their lengths: ``sample=110 × slot=8``."""
        return " × ".join(f"{dim}={length}" for dim, length in zip(self.dims, self.shape, strict=True))

    @property
    def num_bytes(self) -> int:
        """Of its values; files are not compressed."""
        return int(np.prod(self.shape, dtype=object)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Facts:
    """All that is told of one dataset.

    Attributes:
        dataset: The dataset.
        folder: Its last path component: ``uma.zarr``.
        publication: Who publishes it, and where.
        attributes: Of the Zarr group.
        arrays: What it holds of each sample, in writing order.
        axes: Coordinates.
        recipe: How it is made again.
        root_bytes: Of the group's metadata file, which carries the digests.
    """

    dataset: ChannelDataset
    folder: str
    publication: Publication
    attributes: dict[str, Any]
    arrays: tuple[StoredArray, ...]
    axes: tuple[StoredArray, ...]
    recipe: Recipe
    root_bytes: bytes

    @classmethod
    def of(cls, dataset: ChannelDataset, publication: Publication) -> Facts:
        """Those of a finished dataset."""
        spec, total = dataset.spec, dataset.spec.sizes.total
        folder = dataset.path.rstrip("/").rpartition("/")[2]
        with dataset.reading():
            found = sync(dataset.group.store.get(ROOT, default_buffer_prototype()))
            attributes = dict(dataset.group.attrs)
        if found is None:
            raise RequestError("data", expected=f"a dataset with its {ROOT}", got=dataset.path)
        axes = (
            StoredArray(name, dims, values.shape, str(values.dtype), about["units"], about["long_name"])
            for name, (dims, values, about) in coordinates(spec).items()
        )
        return cls(
            dataset=dataset,
            folder=folder,
            publication=publication,
            attributes=attributes,
            arrays=tuple(StoredArray.of(name, variable, total) for name, variable in dataset.variables.items()),
            axes=tuple(axes),
            recipe=Recipe.of(spec, dataset.seed, folder),
            root_bytes=found.to_bytes(),
        )

    @property
    def spec(self) -> ScenarioSpec:
        """What it was made of."""
        return self.dataset.spec

    @property
    def name(self) -> str:
        """The folder without ``.zarr``."""
        return self.folder.removesuffix(".zarr")

    @property
    def title(self) -> str:
        """What people call it, with where its channels come from: one scenario has several sources."""
        return f"{self.attributes.get('title') or f'channelbench {self.spec.title}'}, {self.spec.source.label}"

    @property
    def summary(self) -> str:
        """What it is, in two sentences."""
        bands = "; ".join(f"{name}: {band_words(band)}" for name, band in self.spec.bands.items())
        links = f"{self.spec.sizes.total} wireless links, scenario {self.spec.title}, {self.spec.source.label}"
        return f"Channel coefficients of {links}. Bands: {bands}."

    @property
    def licence(self) -> str:
        """Of the samples, in the words that travel with the dataset."""
        return str(self.attributes.get("license") or UNSTATED)

    @property
    def citation(self) -> str:
        """What to cite for the samples, in the words that travel with the dataset."""
        return str(self.attributes.get("citation") or "")

    @property
    def created(self) -> date | None:
        """The day on which it was begun; copies by other tools may have lost it."""
        try:
            return datetime.fromisoformat(str(self.attributes["created"])).date()
        except (KeyError, ValueError):
            return None

    @property
    def version(self) -> str:
        """Of the dataset: 1.0.0, and the first digits of its content digest as build metadata."""
        return f"1.0.0+{self.dataset.digest[:12]}"

    @property
    def keywords(self) -> tuple[str, ...]:
        """Words to find it by."""
        own = (self.spec.scenario.rpartition(":")[2].lower(), self.spec.source.name)
        usual = ("wireless", "wireless-channel", "channel-state-information", "mimo", "ofdm", "zarr", "channelbench")
        return tuple(dict.fromkeys((*usual, *own)))

    @property
    def splits(self) -> dict[str, int]:
        """Samples of each split."""
        return {split: self.spec.sizes.of(split) for split in SPLITS}

    @property
    def project(self) -> str:
        """Where channelbench itself is; empty before it is published."""
        return repository()

    @property
    def cautions(self) -> list[str]:
        """What whoever makes such datasets warns of, where that is installed."""
        maker = makers(self.spec.scenario).get(self.spec.source.name)
        return [] if maker is None else list(maker.cautions(self.spec))

    @property
    def num_bytes(self) -> int:
        """Of all samples."""
        return sum(array.num_bytes for array in self.arrays)

    @property
    def root_sha256(self) -> str:
        """SHA-256 of the group's metadata file."""
        return hashlib.sha256(self.root_bytes).hexdigest()

    @property
    def bibtex(self) -> str:
        """An entry for this very dataset, by its digest."""
        publication, created = self.publication, self.created
        lines = {
            "title": _tex(f"{{{self.title}, dataset {self.dataset.digest[:12]}}}"),
            "author": _tex(" and ".join(publication.authors)),
            "year": str(created.year) if created else "",
            "doi": publication.doi,
            "url": publication.url,
            "note": _tex(f"Content digest {self.dataset.digest}. {self.citation}".strip()),
        }
        fields = ",\n".join(f"  {key} = {{{value}}}" for key, value in lines.items() if value)
        return f"@misc{{channelbench_{self.dataset.digest[:12]},\n{fields}\n}}"

    @property
    def versions_line(self) -> str:
        """Packages that made it, with their versions."""
        return ", ".join(f"{name} {number}" for name, number in self.dataset.versions.items())

    def as_json(self, value: Any) -> str:
        """A value as JSON on one line, which is YAML as well."""
        return json.dumps(value, ensure_ascii=False)


def _tex(text: str) -> str:
    """Words as BibTeX's fields have them."""
    return re.sub(r"(?<!\\)([&%#_$])", r"\\\1", text)
