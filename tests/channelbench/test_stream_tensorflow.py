"""The same batches in TensorFlow, and a Keras model that learns from them."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from channelbench.errors import RequestError
from channelbench.stream import ChannelStream, to_tf_dataset

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="TensorFlow is not installed: pip install 'channelbench[tensorflow]'",
)
VARIABLES = ("h_sub6", "h_mmwave", "distance_m", "drop", "los")


def assert_equals_the_torch_stream(path: Path, **options: Any) -> None:
    arguments: dict[str, Any] = {"variables": VARIABLES, "batch_size": 32, "seed": 3, "buffer": 2, **options}
    stream = ChannelStream(path, **arguments)
    dataset = to_tf_dataset(path, epoch=2, **arguments)
    assert int(dataset.cardinality()) == len(stream)
    for epoch in (2, 3):  # the second pass is the next epoch
        stream.set_epoch(epoch)
        pairs = list(zip(stream, dataset, strict=True))
        assert len(pairs) == len(stream)
        for torch_batch, tf_batch in pairs:
            assert list(torch_batch) == list(VARIABLES)
            assert set(tf_batch) == set(VARIABLES)
            for name, values in torch_batch.items():
                found = tf_batch[name].numpy()
                assert found.dtype == values.numpy().dtype
                np.testing.assert_array_equal(found, values.numpy())


@needs_tensorflow
def test_equals_the_torch_stream_sample_for_sample(stream_path: Path) -> None:
    assert_equals_the_torch_stream(stream_path)


@needs_tensorflow
@pytest.mark.parametrize("options", [{"shuffle": False}, {"rank": 1, "world_size": 2, "drop_last": True}], ids=str)
def test_equals_the_torch_stream_with_other_orders(small_pieces: Path, options: dict[str, Any]) -> None:
    assert_equals_the_torch_stream(small_pieces, **options)


@needs_tensorflow
def test_elements_have_the_shapes_of_the_dataset(stream_master: Path) -> None:
    spec = to_tf_dataset(stream_master, batch_size=8, drop_last=True).element_spec
    assert spec["h_sub6"].shape == (8, 2, 4, 8)
    assert spec["h_sub6"].dtype.name == "complex64"
    assert to_tf_dataset(stream_master).element_spec["h_mmwave"].shape.as_list() == [None, 1, 4, 4]


@needs_tensorflow
def test_an_interrupted_epoch_continues(small_pieces: Path) -> None:
    arguments: dict[str, Any] = {"variables": ["drop"], "batch_size": 16}
    whole = [batch["drop"].numpy().tolist() for batch in to_tf_dataset(small_pieces, epoch=1, **arguments)]
    resumed = to_tf_dataset(small_pieces, epoch=1, batch=9, **arguments)
    assert [batch["drop"].numpy().tolist() for batch in resumed] == whole[9:]
    assert len(list(resumed)) == len(whole)  # the next epoch is a whole one
    with pytest.raises(RequestError, match="batch: expected at most the epoch's 22 batches, got 23"):
        to_tf_dataset(small_pieces, batch=23, **arguments)


@needs_tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_a_keras_model_trains_on_it(small_pieces: Path) -> None:
    import keras
    import tensorflow as tf

    def example(batch: dict[str, Any]) -> tuple[Any, Any]:
        h = batch["h_sub6"]
        present = tf.stack([tf.math.real(h[:, 0]), tf.math.imag(h[:, 0])], axis=-1)
        return present, tf.math.real(h[:, 1, 0])

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss="mse")
    train = to_tf_dataset(small_pieces, variables=["h_sub6"], batch_size=16).map(example)
    val = to_tf_dataset(small_pieces, variables=["h_sub6"], split="val", shuffle=False).map(example)
    history = model.fit(train, validation_data=val, epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_loss"][-1] < 0.5 * history["val_loss"][0]


def test_absent_tensorflow_is_said_with_the_command_that_brings_it(
    stream_master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(RequestError, match=r"tensorflow: expected .*pip install 'channelbench\[tensorflow\]'"):
        to_tf_dataset(stream_master)
