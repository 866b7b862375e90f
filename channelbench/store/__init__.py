"""The store: one Zarr v3 group that ``xarray.open_zarr`` opens by itself."""

from channelbench.store.copies import save
from channelbench.store.dataset import ChannelDataset, open_dataset
from channelbench.store.verify import Finding, verify

__all__ = ["ChannelDataset", "Finding", "open_dataset", "save", "verify"]
