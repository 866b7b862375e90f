"""What counts as an answer to a task."""

import numpy as np
import pytest

from channelbench import registry
from channelbench.prediction import InvalidPrediction
from channelbench.store.dataset import ChannelDataset

ALL = ["ce", "cp", "pf", "bf", "de", "pe"]


@pytest.mark.parametrize("name", ALL)
def test_answers_of_the_right_shape_and_kind_are_taken_as_they_are(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    observation, target = task.observe(few_rays.view("test"), np.arange(6), task.conditions())
    right = np.array(task.ceiling(target))
    assert task.check(right, observation, target) is right
    np.testing.assert_array_equal(task.check(right.tolist(), observation, target), right.astype(right.dtype))
    whole = np.ones(right.shape, np.int64)
    assert task.check(whole, observation, target) is whole
    if not np.iscomplexobj(right):
        with pytest.raises(InvalidPrediction, match="dtype complex64, expected numbers"):
            task.check(right.astype(np.complex64), observation, target)


@pytest.mark.parametrize("name", ALL)
def test_what_is_no_answer_is_refused(few_rays: ChannelDataset, name: str) -> None:
    task = registry.create("tasks", name)
    observation, target = task.observe(few_rays.view("test"), np.arange(6), task.conditions())
    right = np.array(task.ceiling(target))
    bad = [np.nan, np.inf, -np.inf]
    if np.iscomplexobj(right):
        bad += [complex(0, np.nan), complex(1, np.inf), complex(-np.inf, 2), complex(np.nan, np.inf)]
    for number in bad:
        broken = right.copy()
        broken.reshape(6, -1)[[1, 4], -1] = number
        with pytest.raises(InvalidPrediction, match="prediction is NaN or infinite for 2 of 6 samples"):
            task.check(broken, observation, target)
    for mask in (np.zeros(right.shape, bool), np.ones(right.shape, bool)):
        with pytest.raises(InvalidPrediction, match="masked array"):
            task.check(np.ma.masked_array(right, mask), observation, target)
    for words in (np.full(right.shape, "1"), np.full(right.shape, None), np.ones(right.shape, bool)):
        with pytest.raises(InvalidPrediction, match=r"has dtype .*, expected numbers"):
            task.check(words, observation, target)
    for shape in (right[:5], right[..., None], right[None], right.ravel()[:-1], np.float32(1.0), None):
        with pytest.raises(InvalidPrediction, match=r"has shape .*, expected \(6"):
            task.check(shape, observation, target)
