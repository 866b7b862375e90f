"""The accessor ``ds.cb`` of xarray's datasets: splits, tasks, beams, and what a dataset says of itself.

``import channelbench.xarray`` registers it, and so does ``channelbench.open_dataset(…).xarray``; plain ``import
channelbench`` does not load xarray. It is on whatever xarray has opened or selected of a dataset of this project:

    import xarray, channelbench.xarray
    xarray.open_zarr("data/uma.zarr").cb.train
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from channelbench.errors import RequestError
from channelbench.solvers.dft import beam_spectral_efficiency, dft_codebook
from channelbench.spec import SPLITS, ScenarioSpec
from channelbench.store.copies import part, save, writable
from channelbench.store.record import PART_OF, Record
from channelbench.store.schema import slot_dim

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChannelAccessor"]


@xr.register_dataset_accessor("cb")
class ChannelAccessor:
    """What channelbench knows of a dataset of its own that xarray has opened, whole or in part.

    What it gives of the samples is lazy where they are, and can be written by xarray itself: ``.to_zarr(path)``, and
    ``.to_netcdf(path, engine="h5netcdf")``.
    """

    def __init__(self, view: xr.Dataset) -> None:
        self._view = view

    def __repr__(self) -> str:
        part_of = "" if self.is_whole else "part of "
        return (
            f"<{part_of}channelbench {self.spec.title}, digest {self.digest[:12]}: train, validation, test, select, "
            "tasks, beams, codebook, spec, digest, licence, citation, is_whole, save>"
        )

    @cached_property
    def spec(self) -> ScenarioSpec:
        """The spec that the whole dataset was made of.

        Raises:
            RequestError: these are no samples of channelbench.
        """
        self._check()
        record = self._view.attrs
        whole = {"versions": "{}", "complete": 0, "content_digest": "", **record}  # of a part some are taken out
        return ScenarioSpec.from_record(Record.of(whole).spec)

    def _check(self) -> None:
        if not {"schema_version", "spec"} <= self._view.attrs.keys() or "sample" not in self._view.dims:
            expected = "a dataset that channelbench made, with its attributes and its dimension sample"
            raise RequestError("cb", expected=expected, got=f"dimensions {', '.join(map(str, self._view.dims))}")

    @property
    def digest(self) -> str:
        """Content digest of the dataset that this is, or is a part of: 64 hexadecimal digits."""
        return str(self._view.attrs.get("content_digest") or self._view.attrs.get(PART_OF, ""))

    @property
    def licence(self) -> str:
        """Under which the channels may be used."""
        return str(self._view.attrs.get("license", ""))

    @property
    def citation(self) -> str:
        """What to cite for them."""
        return str(self._view.attrs.get("citation", ""))

    @property
    def is_whole(self) -> bool:
        """Whether all samples are there."""
        return PART_OF not in self._view.attrs and self._view.sizes["sample"] == self.spec.sizes.total

    @property
    def train(self) -> xr.Dataset:
        """The samples of the training split."""
        return self._split("train")

    @property
    def validation(self) -> xr.Dataset:
        """The samples of the validation split, which decides which step of a training is kept."""
        return self._split("val")

    @property
    def test(self) -> xr.Dataset:
        """The samples of the test split, which methods are scored on."""
        return self._split("test")

    def _split(self, name: str) -> xr.Dataset:
        self._check()
        return self.select(self._view["split"] == SPLITS.index(name))

    def select(self, samples: Any) -> xr.Dataset:
        """Some samples.

        Args:
            samples: Which: booleans ``[samples]``, also lazy ones such as ``ds.distance_m < 100``, positions, one
                position or a slice.

        Returns:
            They, with the dimension ``sample``, without ``unit_digest`` and the digests, which are of the whole.
        """
        self._check()
        if isinstance(samples, xr.DataArray):
            samples = samples.compute().values
        if not isinstance(samples, slice):
            samples = np.atleast_1d(np.asarray(samples))
        return writable(part(self._view.isel(sample=samples)))

    def save(self, path: str | Path) -> Path | str:
        """Write it, whole or in part, as Zarr to a new place; see ``channelbench.store.save``."""
        return save(self._view, path)

    @property
    def tasks(self) -> pd.DataFrame:
        """All tasks that are installed, by name: ``title``, ``can`` (bool) whether they can be scored on the whole
        dataset, and ``why_not`` in words, empty where they can."""
        import pandas as pd

        from channelbench.registry import create, names
        from channelbench.supported import why_not

        known = names("tasks")
        tasks = [create("tasks", name) for name in known]
        reasons = [why_not(task, self.spec, [str(name) for name in self._view.data_vars]) for task in tasks]
        columns = {
            "title": [task.card.label for task in tasks],
            "can": [not reason for reason in reasons],
            "why_not": reasons,
        }
        return pd.DataFrame(columns, index=pd.Index(known, name="task"))

    def codebook(self, band: str = "mmwave") -> xr.DataArray:
        """The DFT beams of a band, as the beam task has them: ``[beam, antenna]`` complex128, of norm 1.

        Args:
            band: ``sub6`` or ``mmwave``.

        Raises:
            RequestError: no such band, or one whose array is more than one row of antennas.
        """
        chosen = self._beam_band(band)
        beams = dft_codebook(chosen.array.num_antennas, chosen.num_beams)
        return xr.DataArray(beams, dims=("beam", f"antenna_{band}"), attrs={"long_name": "DFT beams", "units": "1"})

    def beams(self, band: str = "mmwave") -> xr.Dataset:
        """How good each beam of the codebook is for each sample, and which is the best: what the task ``bf`` has as
        truth of ``mmwave``.

        Args:
            band: ``sub6`` or ``mmwave``.

        Returns:
            ``beam_se`` ``[sample, beam]`` float32: spectral efficiency at 10 dB, mean over slots and subcarriers,
            bit/s/Hz; ``best_beam`` ``[sample]`` int64: the beam of the highest, the first of several. Lazy where the
            channels are dask arrays.

        Raises:
            RequestError: no such band, or one whose array is more than one row of antennas.
        """
        chosen = self._beam_band(band)
        dims = [slot_dim(band), f"subcarrier_{band}", f"antenna_{band}"]
        rates = xr.apply_ufunc(
            beam_spectral_efficiency,
            self._view[f"h_{band}"].transpose("sample", *dims),
            kwargs={"num_beams": chosen.num_beams},
            input_core_dims=[dims],
            output_core_dims=[["beam"]],
            dask="parallelized",
            dask_gufunc_kwargs={
                "output_sizes": {"beam": chosen.num_beams},
                "meta": np.empty((0, 0), np.float32),  # dask's own guess is of complex numbers, as the channels are
            },
        )
        rates.attrs = {"units": "bit s-1 Hz-1", "long_name": "mean spectral efficiency of each DFT beam at 10 dB"}
        best = rates.argmax("beam").assign_attrs(units="1", long_name="beam of the highest spectral efficiency")
        return xr.Dataset({"beam_se": rates, "best_beam": best})

    def _beam_band(self, band: str) -> Any:
        if f"h_{band}" not in self._view:
            choices = [name for name in self.spec.bands if f"h_{name}" in self._view]
            raise RequestError("band", expected="one whose channels are here", got=band, choices=choices)
        chosen = self.spec.bands[band]
        if chosen.array.rows != 1:
            got = f"{band} with {chosen.array.rows} rows of {chosen.array.columns}"
            raise RequestError("band", expected="one with one row of antennas, whose beams a DFT is", got=got)
        return chosen
