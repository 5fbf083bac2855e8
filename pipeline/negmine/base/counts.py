"""What stages count: whole numbers by name, which add up over parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

_MILLION: Final = 1_000_000


class Counts(Counter[str]):
    """Whole numbers by name. One of a group is named ``group:name``, as it stands in a manifest.

    A mean is kept as how many values there are and their sum in millionths, so that those of parts can be added.
    """

    def add(self, group: str, name: str, number: int = 1) -> None:
        """Count one of a group."""
        self[f"{group}:{name}"] += number

    def add_each(self, group: str, names: Iterable[str]) -> None:
        """Count several of a group."""
        self.update(f"{group}:{name}" for name in names)

    def under(self, group: str) -> dict[str, int]:
        """The counts of a group, the largest first; zeros are left out. ``outer:inner`` is a group in a group."""
        prefix = f"{group}:"
        found = {name.removeprefix(prefix): n for name, n in self.items() if name.startswith(prefix) and n}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def total_of(self, group: str) -> int:
        """The sum of a group."""
        return sum(self.under(group).values())

    def share(self, name: str, of: str) -> float:
        """One number as a share of another, 0 to 1; 0 of nothing."""
        return self[name] / max(self[of], 1)

    def add_mean(self, name: str, values: Sequence[float]) -> None:
        """Count values whose mean is asked for."""
        self.update({f"measured:{name}": len(values), f"similar:{name}": round(sum(values) * _MILLION)})

    def mean(self, name: str) -> float | None:
        """Of all values added under a name; None where there are none."""
        number = self[f"measured:{name}"]
        return self[f"similar:{name}"] / number / _MILLION if number else None

    def check_sum(self, whole: str, *names: str, groups: Sequence[str] = ()) -> None:
        """Check that nothing was lost: `whole` is the sum of these counts and groups.

        Raises:
            AssertionError: it is not, which is a bug.
        """
        parts = {name: self[name] for name in names} | {f"{group}:...": self.total_of(group) for group in groups}
        assert self[whole] == sum(parts.values()), f"{self[whole]} {whole} are not the sum of {parts}"
