"""Trivial answers are exactly what their names say."""

from typing import Any

import numpy as np
import pytest

from channelbench.baselines.common_beam import CommonBeam
from channelbench.baselines.hold import Hold
from channelbench.baselines.mean import Mean
from channelbench.baselines.median import Median
from channelbench.baselines.repeat import Repeat
from channelbench.baselines.zero import Zero
from channelbench.contracts import FitContext, Method

H = np.arange(2 * 3 * 4 * 2).reshape(2, 3, 4, 2) + 1j


def test_zero(make_observation: Any) -> None:
    observation = make_observation(H, target_subcarriers=np.arange(9), target_slots=np.arange(5))
    prediction = Zero().predict("ce", observation)
    assert prediction.shape == (2, 5, 9, 2)
    assert not prediction.any()


def test_hold(make_observation: Any) -> None:
    prediction = Hold().predict("cp", make_observation(H, target_slots=np.arange(3, 7)))
    assert prediction.shape == (2, 4, 4, 2)
    for slot in range(4):
        np.testing.assert_array_equal(prediction[:, slot], H[:, -1])


def test_repeat(make_observation: Any) -> None:
    observation = make_observation(H, subcarriers=np.array([0, 8, 16, 24]), target_subcarriers=np.arange(32))
    prediction = Repeat().predict("ce", observation)
    nearest_pilot = [0] * 5 + [1] * 8 + [2] * 8 + [3] * 11
    np.testing.assert_array_equal(prediction, H[:, :, nearest_pilot])
    upper_half = Repeat().predict("pf", make_observation(H, target_subcarriers=np.arange(4, 8)))
    np.testing.assert_array_equal(upper_half, H[:, :, [3] * 4])


@pytest.mark.parametrize(("method", "constant"), [(Mean, 31.25), (Median, 11.0)])
def test_constants(make_observation: Any, make_split: Any, method: type[Method], constant: float) -> None:
    values = np.array([2.0, 10.0, 12.0, 101.0], np.float32)
    split = make_split(make_observation(np.ones((4, 1, 2, 2))), values)
    fitted = method()
    fitted.fit({"de": (split, split), "pe": (make_split(split.whole, -values), split)}, FitContext())
    observation = make_observation(np.ones((3, 1, 2, 2)))
    np.testing.assert_array_equal(fitted.predict("de", observation), [constant] * 3)
    np.testing.assert_array_equal(fitted.predict("pe", observation), [-constant] * 3)


def test_common_beam(make_observation: Any, make_split: Any) -> None:
    best = np.array([3, 1, 3, 0, 3], np.int64)
    split = make_split(make_observation(np.ones((5, 1, 2, 2)), num_beams=6), best)
    fitted = CommonBeam()
    fitted.fit({"bf": (split, split)}, FitContext())
    scores = fitted.predict("bf", make_observation(np.ones((2, 1, 2, 2)), num_beams=6))
    np.testing.assert_allclose(scores, [[0.2, 0.2, 0, 0.6, 0, 0]] * 2, atol=1e-7)
