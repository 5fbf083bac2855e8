"""Counts add up over parts, and say so when something was lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.counts import Counts
from negmine.store.manifest import add_counts

VALUES = st.lists(st.floats(-1, 1), max_size=20)


def test_a_group_is_told_largest_first_without_zeros() -> None:
    counts = Counts(rows=6)
    counts.add_each("rejected", ["b", "a", "c", "c"])
    counts.add("rejected", "never", 0)
    counts.add("rejected:rule", "guard", 1)
    assert list(counts.under("rejected").items()) == [("c", 2), ("a", 1), ("b", 1), ("rule:guard", 1)]
    assert counts.under("rejected:rule") == {"guard": 1}
    assert (counts.total_of("rejected"), counts.total_of("reject")) == (5, 0)
    assert counts.share("rows", of="nothing") == 6


@given(st.lists(VALUES, max_size=5))
def test_the_mean_of_parts_is_the_mean_of_all(parts: list[list[float]]) -> None:
    every = []
    for values in parts:
        every.append(Counts())
        every[-1].add_mean("planned", values)
    whole, values = add_counts(every), [value for part in parts for value in part]
    if not values:
        assert whole.mean("planned") is None
    else:
        assert whole.mean("planned") == pytest.approx(sum(values) / len(values), abs=1e-6)


@given(st.lists(st.sampled_from(["kept", "a", "b"]), max_size=30))
def test_what_was_lost_is_noticed(rows: list[str]) -> None:
    counts = Counts(rows=len(rows))
    for row in rows:
        if row == "kept":
            counts["kept"] += 1
        else:
            counts.add("rejected", row)
    counts.check_sum("rows", "kept", groups=["rejected"])
    counts["rows"] += 1
    with pytest.raises(AssertionError, match=f"{len(rows) + 1} rows are not the sum of"):
        counts.check_sum("rows", "kept", groups=["rejected"])
