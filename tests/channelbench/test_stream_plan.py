"""The order of an epoch, without reading anything: every row once, equal shares, and free of the number of workers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channelbench.errors import RequestError
from channelbench.stream.plan import Plan

PLANS = st.fixed_dictionaries(
    {
        "first_row": st.integers(0, 60),
        "rows": st.integers(1, 90),
        "piece_rows": st.integers(1, 40),
        "batch_size": st.integers(1, 33),
        "shuffle": st.booleans(),
        "seed": st.integers(0, 2**40),
        "buffer": st.integers(1, 4),
        "lanes": st.integers(1, 4),
        "world_size": st.integers(1, 4),
    }
)


def ranks(numbers: dict, **changed: object) -> list[Plan]:
    """The plan of every rank."""
    numbers = {**numbers, **changed}
    first, rows = numbers["first_row"], numbers.pop("rows")
    world_size = numbers["world_size"] = min(numbers["world_size"], rows)
    return [Plan(**numbers, last_row=first + rows, rank=rank) for rank in range(world_size)]


def batches_of(plan: Plan, epoch: int = 0) -> list[list[int]]:
    return [batch.tolist() for batch in plan.batches(epoch)]


@settings(max_examples=80, deadline=None)
@given(numbers=PLANS, epoch=st.integers(0, 3))
def test_every_row_once_in_equal_shares(numbers: dict, epoch: int) -> None:
    shares = [batches_of(plan, epoch) for plan in ranks(numbers)]
    seen = [row for share in shares for batch in share for row in batch]
    left_out = numbers["rows"] % len(shares)
    assert len(seen) == len(set(seen)) == numbers["rows"] - left_out
    assert set(seen) <= set(range(numbers["first_row"], numbers["first_row"] + numbers["rows"]))
    sizes = [[len(batch) for batch in share] for share in shares]
    assert all(size == sizes[0] for size in sizes)
    assert set(sizes[0][:-1]) <= {numbers["batch_size"]}


@settings(max_examples=50, deadline=None)
@given(numbers=PLANS, epoch=st.integers(0, 3))
def test_dropping_the_last_batch_leaves_whole_ones(numbers: dict, epoch: int) -> None:
    if numbers["rows"] // min(numbers["world_size"], numbers["rows"]) < numbers["batch_size"]:
        with pytest.raises(RequestError, match="batch_size: expected at most"):
            ranks(numbers, drop_last=True)
        return
    for plan in ranks(numbers, drop_last=True):
        batches = batches_of(plan, epoch)
        assert len(batches) == plan.num_batches
        assert {len(batch) for batch in batches} == {numbers["batch_size"]}
        assert len({row for batch in batches for row in batch}) == plan.num_batches * numbers["batch_size"]


@settings(max_examples=50, deadline=None)
@given(numbers=PLANS)
def test_windows_hold_at_most_the_buffer_and_pieces_are_cut_only_where_spans_meet(numbers: dict) -> None:
    cut = 0
    for plan in ranks(numbers):
        whole = set(plan.pieces(0))
        for index in range(plan.num_lanes):
            for window in plan.lane(0, index).windows:
                assert 1 <= len(window.fragments) <= plan.buffer
                cut += sum(fragment not in whole for fragment in window.fragments)
    assert cut <= 2 * (plan.num_lanes * plan.world_size - 1) + 1  # both sides of a meeting, and the rows left out


def test_order_follows_from_seed_epoch_and_buffer() -> None:
    def order(epoch: int = 0, **changed: int) -> list[list[int]]:
        numbers = {"first_row": 13, "last_row": 513, "piece_rows": 25, "batch_size": 16, "buffer": 4, "lanes": 2}
        return batches_of(Plan(**{**numbers, **changed}), epoch)

    assert order() == order()
    others = [order(epoch=1), order(seed=1), order(buffer=3), order(lanes=1)]
    assert all(order() != other for other in others)
    assert order(shuffle=False, lanes=3) == order(shuffle=False, lanes=1) == batched(range(13, 513), 16)


def batched(rows: range, size: int) -> list[list[int]]:
    return [list(rows[at : at + size]) for at in range(0, len(rows), size)]


def test_shuffling_is_uniform_over_pieces_and_mixes_within_the_buffer() -> None:
    plan = Plan(first_row=0, last_row=400, piece_rows=20, batch_size=40, buffer=5)
    first = np.array([next(iter(plan.batches(epoch))) for epoch in range(400)])
    counts = np.bincount(first.ravel(), minlength=400)  # each row is in the first batch of one epoch in ten
    assert abs(counts - 40).max() < 5 * np.sqrt(40 * 0.9)
    assert all(len(np.unique(batch // 20)) >= 4 for batch in first)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
        ({"batch_size": 2.0}, "batch_size: expected a whole number"),
        ({"batch_size": True}, "batch_size: expected a whole number"),
        ({"buffer": 0}, "buffer: expected"),
        ({"lanes": -1}, "lanes: expected"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"rank": 2, "world_size": 2}, r"rank: expected less than world_size \(2\), got 2"),
        ({"world_size": 31}, "world_size: expected at most the split's 30 samples, got 31"),
    ],
)
def test_impossible_plans_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        Plan(**{"first_row": 0, "last_row": 30, "piece_rows": 10, "batch_size": 4, **changed})
