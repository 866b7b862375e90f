"""The same batches for TensorFlow: a ``tf.data.Dataset`` over the Zarr."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channelbench.errors import RequestError
from channelbench.stream.reader import Batch, Reader, require_position

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["to_tf_dataset"]


def to_tf_dataset(
    path: str | Path,
    *,
    variables: Iterable[str] | None = None,
    split: str = "train",
    batch_size: int = 64,
    shuffle: bool = True,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    buffer: int | None = None,
    lanes: int = 2,
    drop_last: bool = False,
    epoch: int = 0,
    batch: int = 0,
    prefetch: int = 2,
) -> tf.data.Dataset:
    """A split as a ``tf.data.Dataset`` of batches: those of ``ChannelStream`` with the same arguments, in its order.

    The first pass over the dataset is epoch ``epoch``; each pass after it is the next epoch, as ``model.fit`` takes
    them.

    Args:
        path, variables, split, batch_size, shuffle, seed, buffer, lanes, drop_last: As in ``ChannelStream``.
        rank, world_size: This process among those that share an epoch, e.g. of a ``tf.distribute.InputContext``.
        epoch: The epoch of the first pass.
        batch: The batch at which the first pass begins: an interrupted epoch continues there, and nothing before it is
            read.
        prefetch: Batches that TensorFlow holds ready beside the reader's windows.

    Returns:
        Elements ``{variable: tensor [samples, …]}``: channels as complex64 ``[samples, slots, subcarriers, antennas]``.

    Raises:
        RequestError: TensorFlow is not installed, no finished dataset at ``path``, an unknown variable or split, or a
            number out of range.
    """
    tf = _tensorflow()
    reader = Reader(
        path,
        variables=variables,
        split=split,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        buffer=buffer,
        lanes=lanes,
        drop_last=drop_last,
        rank=rank,
        world_size=world_size,
    )
    require_position(reader.plan, epoch, batch)
    passes = itertools.count()

    def one_pass() -> Iterator[Batch]:
        number = next(passes)
        yield from reader.batches(epoch + number, batch if number == 0 else 0)

    samples = batch_size if drop_last else None
    signature = {
        name: tf.TensorSpec(shape=(samples, *shape), dtype=tf.as_dtype(dtype), name=name)
        for name, (shape, dtype) in reader.shapes().items()
    }
    dataset = tf.data.Dataset.from_generator(one_pass, output_signature=signature)
    if not batch:  # passes of different lengths have no common one
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(reader.plan.num_batches))
    return dataset.prefetch(prefetch)


def _tensorflow() -> Any:
    try:
        import tensorflow as tf
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise RequestError(
            "tensorflow", expected="TensorFlow (`pip install 'channelbench[tensorflow]'`)", got="not installed"
        ) from None
    return tf
