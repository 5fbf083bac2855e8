"""What is drawn from a seed is the same in every process, and what has another purpose or key is drawn apart."""

from __future__ import annotations

import os
import subprocess
import sys

from hypothesis import example, given
from hypothesis import strategies as st
from negmine.base.hashing import derived_seed, generator, hash64

KEYS = st.lists(st.integers(0, 9) | st.text(max_size=3), max_size=3)


def test_golden_values() -> None:
    """Training runs and work folders rest on them: a change is another version of what is drawn."""
    assert hash64("a") == 0x40F89E395B66422F
    assert derived_seed(0, "crop", 1, "000007") == 0x6207F1EE2B985FBA
    assert generator(0, "crop", 1, "000007").random() == 0.8724576162861668


def test_any_process_draws_the_same() -> None:
    code = "from negmine.base.hashing import derived_seed; print(derived_seed(3, 'order', 2, 'x/y'))"
    found = {
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHON0x40F89E395B66422FSEED": seed})
        for seed in ("0", "1")
    }
    assert found == {f"{derived_seed(3, 'order', 2, 'x/y')}\n".encode()}


@given(KEYS, KEYS)
@example(["a/b"], ["a", "b"])
@example([1], ["1"])
def test_other_keys_are_other_seeds(one: list[int | str], other: list[int | str]) -> None:
    """Wherever their parts are joined."""
    assert (derived_seed(0, "p", *one) == derived_seed(0, "p", *other)) == (one == other)
    assert derived_seed(0, "p", *one) != derived_seed(0, "q", *one)
    assert 0 <= derived_seed(0, "p", *one) < 2**64
