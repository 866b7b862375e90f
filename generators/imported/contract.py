"""What reads and writes a format of other people: one class each, found by ``formats`` in this package's modules.

A reader says what it sees (``describe``) before anything large is loaded, and then gives links some at a time
(``links``), per band either channels or propagation paths. What a file does not have is ``None``: the dataset will not
have it either. Scaling, splitting, evaluation of paths, rejection of empty links and all checks for NaN are the
importer's: a reader translates, and complains in one line (``RequestError``) of what it cannot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from channelbench.frozen import Frozen
from channelbench.spec import ArraySpec, BandSpec
from channelbench.store.dataset import ChannelDataset

__all__ = ["BandFacts", "BandLinks", "Description", "LinkPaths", "Links", "Reader", "Scale", "Settings", "Writer"]

Scale = Literal["paths", "physical", "unscaled", "normalised"]
"""What an amplitude means: ``paths``, physical ones of paths; ``physical``, channels with path gain and fading in one;
``unscaled``, channels in units that nobody knows; ``normalised``, unit mean power over the ensemble, as they are, with
``path_gain_db`` beside them where the file has it."""

Progress = Callable[[int, int], None]


class Settings(Frozen):
    """What a reader can be told in the first lines of ``--settings FILE.toml``, or by ``--set``, beside what the
    importer takes itself (``importing.Asked``) and the tables ``[sub6]`` and ``[mmwave]``, whose fields are those of
    ``BandSpec``. Fields of a band that are the reader's own stand in the same tables: its settings then have a model
    ``sub6`` and ``mmwave``. A field without a default is one that it cannot do without."""


@dataclass(frozen=True, kw_only=True)
class BandFacts:
    """What a file itself says of a band; ``None`` where it says nothing and ``[sub6]`` or ``[mmwave]`` has to. A number
    that both give has to be the same.

    Attributes:
        kind: Whether ``links`` gives this band as channels or as paths.
        carrier_hz, bandwidth_hz, num_subcarriers, num_slots, slot_s, array: As in ``BandSpec``. Where one channel or
            one set of paths is all that there is in time and no Doppler is known, ``num_slots`` is 1.
        num_antennas: Where that is known and the array is not.
        usual: Dotted fields of ``BandSpec`` that most files of this format have and none states, such as those of the
            one dataset that is published in it: they hold where the user says nothing, and ``--dry-run`` shows them.
    """

    kind: Literal["h", "paths"]
    carrier_hz: float | None = None
    bandwidth_hz: float | None = None
    num_subcarriers: int | None = None
    num_slots: int | None = None
    slot_s: float | None = None
    array: ArraySpec | None = None
    num_antennas: int | None = None
    usual: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a reader sees in a file without loading all of it.

    Attributes:
        num_links: Links that ``links`` can be asked for, 0 … num_links − 1, those without a path among them.
        bands: By name: ``sub6``, the first band or the only one, and ``mmwave``, the second, whatever their carriers.
        quantities: Which of ``ue_position``, ``ue_velocity``, ``los``, ``distance_m`` and ``path_gain_db`` the links
            will have, for ``--dry-run``.
        scale: What amplitudes mean where the user does not say; a band of paths is ``paths`` or ``unscaled``.
        bs_height_m: Of the base station above the ground, where the file has it.
        licence, citation: Of the data; ``None`` where the file does not state them.
        versions: What the file says of the software that made it.
        notes: Whatever else ``--dry-run`` is to say, one line each: paths dropped, what was chosen of several.
        hints: Lines that complete the settings, e.g. ``[sub6]`` and ``bandwidth_hz = …``, for what only the user knows
            beyond the bands' own fields.
    """

    num_links: int
    bands: Mapping[str, BandFacts]
    quantities: frozenset[str] = frozenset()
    scale: Scale
    bs_height_m: float | None = None
    licence: str | None = None
    citation: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LinkPaths:
    """Propagation paths of some links in one band, in axes ``[links, slots, paths, antennas]``.

    An axis of length 1 stands for all of its slots or antennas. ``h(t, f)[n] = Σ_p amplitude · e^{j2π·doppler·t} ·
    e^{−j2π(f − carrier)·delay} · e^{j2π(f/carrier)·(direction·position_n)}``, the last factor only where
    ``direction`` is given; ``f`` are ``store.schema.subcarrier_hz(band)`` and the positions
    ``store.schema.antenna_positions(band)``, in wavelengths. Without squint ``f/carrier`` is 1 there.

    Attributes:
        amplitude: Complex, with the phase at the carrier, time 0 and the array's centre (with ``direction``) or each
            antenna (without), ``[links, slots or 1, paths, antennas or 1]``. 0 for a path that is absent, whose other
            values have to be finite all the same.
        delay_s: ``[links, slots or 1, paths, antennas or 1]``; with ``direction`` the last is 1.
        direction: Unit vectors of departure in the frame of the array, which lies in the y–z plane and faces +x,
            ``[links, slots or 1, paths, 3]``. ``None`` where the amplitudes of each antenna hold it.
        doppler_hz: ``[links, paths]``; ``None`` where the slots' own amplitudes hold it, or there is one slot.
        aod_azimuth: Azimuth of departure, radian, ``[links, paths]`` at the first slot; ``None`` follows from
            ``direction`` where that is given.
        aoa_azimuth: Azimuth of arrival, radian, ``[links, paths]`` at the first slot.
        power: ``|a_p|²`` of each path in the first slot, linear, ``[links, paths]``, where it does not follow from
            ``amplitude`` as the mean over antennas.
        specular: Whether path 0 is the specular one in links with ``los``: the main path then, however strong, and
            what the K-factor is of.
    """

    amplitude: NDArray[np.complex128]
    delay_s: NDArray[np.float64]
    direction: NDArray[np.float64] | None = None
    doppler_hz: NDArray[np.float64] | None = None
    aod_azimuth: NDArray[np.float64] | None = None
    aoa_azimuth: NDArray[np.float64] | None = None
    power: NDArray[np.float64] | None = None
    specular: bool = False


@dataclass(frozen=True, kw_only=True)
class BandLinks:
    """Some links in one band: ``h``, complex ``[links, slots, subcarriers, antennas]``, or ``paths``. Antennas count as
    in ``store.schema.antenna_positions``: along the columns (+y) first, then the rows (+z).

    Attributes:
        path_gain_db: For scale ``normalised`` alone, ``[links]``.
        numbers: What is known of the band besides, by the name of its variable without the band's (``store.schema``),
            ``[links]`` each; of paths they are worked out.
    """

    h: NDArray[Any] | None = None
    paths: LinkPaths | None = None
    path_gain_db: NDArray[np.float64] | None = None
    numbers: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Links:
    """Some links; every field but ``bands`` is ``None`` where the file does not have it, for all links alike.

    Attributes:
        bands: By name.
        ue_position: m, with the base station at (0, 0, its height) and +x where the array faces, ``[links, 3]``.
        ue_velocity: m/s, ``[links, 3]``.
        los: Line of sight, bool ``[links]``.
        distance_m: 3-D distance from the base station; follows from ``ue_position`` where ``bs_height_m`` is known,
            ``[links]``.
    """

    bands: Mapping[str, BandLinks]
    ue_position: NDArray[np.float64] | None = None
    ue_velocity: NDArray[np.float64] | None = None
    los: NDArray[np.bool_] | None = None
    distance_m: NDArray[np.float64] | None = None


class Reader(ABC):
    """One format, opened at one path.

    Attributes:
        name: What ``--format`` takes: lower case, letters, digits and ``-``.
        title: What people call it.
        reference: Where the format is described.
        missing: What its files do not have, in words, for the table of formats.
        generic: Whether it reads any file of a kind: one that claims a file by what is in it comes first.
        settings: What it can be told.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    missing: ClassVar[str] = ""
    generic: ClassVar[bool] = False
    settings: ClassVar[type[Settings]] = Settings

    @classmethod
    @abstractmethod
    def claims(cls, path: Path) -> bool:
        """Whether a file or folder looks like this format: by names, keys, first bytes. Cheap, whatever its size, and
        never raises, whatever is in it; ``formats`` takes an exception for a no."""

    def __init__(self, path: Path, given: Settings) -> None:
        """Open it; subclasses call this first, and keep ``self.path`` and ``self.given``.

        Args:
            path: It exists; ``claims`` may have said no, where the user has named the format.
            given: An instance of the class's ``settings``.

        Raises:
            RequestError: it is cut short, of another layout, or holds Python objects; ``field`` is the path as given.
        """
        self.path, self.given = path, given

    @abstractmethod
    def describe(self) -> Description:
        """What is there, without loading everything.

        Raises:
            RequestError: as on opening.
        """

    @abstractmethod
    def links(self, rows: NDArray[np.int64], bands: Mapping[str, BandSpec]) -> Links:
        """Some links, in this order. It is called from one thread, with some hundred rows at a time, mostly ascending.

        Args:
            rows: Their numbers, ``[links]``.
            bands: What they are to be in: what the file says, completed by the settings.

        Raises:
            RequestError: bytes that cannot be read.
        """

    def files(self) -> list[Path]:
        """The files whose bytes the links come from, which the dataset's digest covers: the path itself, or all files
        below a folder. Readers of large folders name those that they read."""
        if not self.path.is_dir():
            return [self.path]
        return sorted(path for path in self.path.rglob("*") if path.is_file())

    def groups(self) -> NDArray[np.int64] | None:
        """A number for each link, equal for links that may not stand in two splits, such as snapshots of one track,
        ``[num_links]``; ``None`` where all are independent."""
        return None

    def splits(self) -> NDArray[np.int8] | None:
        """The split of each link where the file has one, 0 train, 1 val, 2 test, ``[num_links]``; −1 where it leaves
        that to the importer."""
        return None

    def remarks(self, bands: Mapping[str, BandSpec]) -> tuple[str, ...]:
        """What is to be said of the links in these bands, as ``Description.notes`` are of the file: one line each."""
        return ()

    def close(self) -> None:
        """Let go of files."""
        return


class Writer(ABC):
    """One format that datasets are exported to.

    Attributes:
        name: What ``--format`` takes; that of the reader that reads it back, where that is one of ours.
        title: What people call it.
        reference: Where the format is described.
        suffix: Of the file, with its dot; empty for a folder.
        loses: What a dataset has and the format does not, in words, which `export` says.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    suffix: ClassVar[str]
    loses: ClassVar[str] = ""

    def refuse(self, dataset: ChannelDataset) -> None:
        """Refuse a dataset that the format cannot hold, before anything is written.

        Raises:
            RequestError: why not.
        """
        return

    @abstractmethod
    def write(self, dataset: ChannelDataset, target: Path, progress: Progress) -> None:
        """Write all splits, train, val, test after each other.

        Args:
            dataset: Complete; ``dataset.view(split)`` has ``pieces`` for what does not fit into memory.
            target: File or folder that is not there; the caller moves it to its place when this returns, and removes
                it when it does not.
            progress: Called with (samples done, all samples).
        """
