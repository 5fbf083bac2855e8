"""What a comparison of speed is: rates of ours and of a peer, taken in turns, and the quotients of each turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True)
class Spread:
    """Median and quartiles."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of at least one number."""
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0])
        low, _, high = quantiles(numbers, n=4, method="inclusive")
        return cls(median(numbers), low, high)

    def text(self, digits: int = 0) -> str:
        """``12 (11 to 13)``."""
        middle, low, high = (f"{number:,.{digits}f}" for number in (self.middle, self.low, self.high))
        return middle if low == high else f"{middle} ({low} to {high})"


@dataclass(frozen=True)
class Row:
    """One quotient.

    Attributes:
        what: was done.
        unit: of the rates, which are by second.
        ours: a rate a turn.
        peer: its name; empty where there is none.
        theirs: a rate a turn, as many as `ours`.
        aim: the least ratio that was asked for, if one was.
    """

    what: str
    unit: str
    ours: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    aim: float | None = None

    @property
    def rate(self) -> Spread:
        return Spread.of(self.ours)

    @property
    def ratio(self) -> Spread | None:
        """Ours over theirs, turn by turn: what slows a whole turn down does not count."""
        if not self.theirs:
            return None
        return Spread.of([one / other for one, other in zip(self.ours, self.theirs, strict=True)])

    def cells(self) -> tuple[str, ...]:
        """As `HEAD` names them."""
        ratio, few = self.ratio, min([*self.ours, *self.theirs]) < 10
        aim = "" if self.aim is None else f"{self.aim:g}"
        theirs = Spread.of(self.theirs).text(int(few)) if self.theirs else ""
        return (
            self.what,
            self.unit,
            self.rate.text(int(few)),
            self.peer,
            theirs,
            ratio.text(2) if ratio else "",
            aim,
            str(len(self.ours)),
        )


HEAD = ("", "unit", "ours", "peer", "the peer's", "ratio", "aim", "turns")


@dataclass(frozen=True)
class Comparison:
    """Rows of one setting.

    Attributes:
        name: of the script that makes it.
        setting: what was measured on what, by which clock.
        notes: what else was seen: whether results were the same, memory.
        facts: numbers by name that `costs` computes with.
    """

    name: str
    setting: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    facts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> Comparison:
        """Of what `asdict` made of one."""
        return cls(**{**saved, "rows": [Row(**row) for row in saved["rows"]]})

    def row(self, what: str) -> Row:
        """The first row about this."""
        return next(row for row in self.rows if row.what == what)

    def save(self) -> dict[str, Any]:
        return asdict(self)


def show(found: Comparison) -> None:
    """On the terminal, as on the page."""
    rows = table([HEAD, *(row.cells() for row in found.rows)])
    print(f"\n{found.name}: {found.setting}", "", *rows, *found.notes, sep="\n", flush=True)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Markdown; the first row is the head, and columns that are empty below it are left out."""
    full = [any(row[column] for row in rows[1:]) for column in range(len(rows[0]))]
    kept = [[cell for cell, keep in zip(row, full, strict=True) if keep] for row in rows]
    kept.insert(1, ["---"] * len(kept[0]))
    return ["| " + " | ".join(row) + " |" for row in kept]


def take_turns(
    runs: Mapping[str, Callable[[], float]], turns: int, clock: Callable[[], float] = time.perf_counter, warm: int = 0
) -> dict[str, list[float]]:
    """Rates of each run, one a turn: what it returns it did, by the seconds of `clock` that passed.

    Args:
        warm: turns before, which do not count.
    """
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(warm + turns):
        for name, run in runs.items():
            started = clock()
            done = run()
            if turn >= warm:
                rates[name].append(done / (clock() - started))
    return rates
