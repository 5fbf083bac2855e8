"""From results to tables: means over seeds and items, and intervals that know that items share photos."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

RESAMPLES: Final = 2000
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % bootstrap interval, in percent."""

    mean: float
    low: float
    high: float

    def text(self, signed: bool = False) -> str:
        """``51.2 [48.0, 54.1]``."""
        sign = "+" if signed else ""
        return f"{self.mean:{sign}.1f} [{self.low:{sign}.1f}, {self.high:{sign}.1f}]"


def estimate(values: Numbers, photos: Sequence[int]) -> Estimate:
    """Of ``[seeds, items]``; seeds and photos are drawn again independently, all items of a photo together."""
    chance = np.random.default_rng(0)
    _, place = np.unique(np.asarray(photos), return_inverse=True)
    several = int(place.max()) + 1
    sums = np.stack([np.bincount(place, weights=row, minlength=several) for row in values])
    counts = np.bincount(place, minlength=several)
    means = []
    for _ in range(RESAMPLES):
        seeds = np.bincount(chance.integers(len(values), size=len(values)), minlength=len(values)) / len(values)
        times = np.bincount(chance.integers(several, size=several), minlength=several)
        means.append(seeds @ sums @ times / (counts @ times))
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(*(100 * float(number) for number in (values.mean(), low, high)))


@dataclass(frozen=True)
class Line:
    """All seeds of a row with one recipe, on a share of the photos.

    Attributes:
        results: of the cells, by seed.
    """

    row: str
    recipe: str
    share: float
    results: Mapping[int, Mapping[str, Any]]

    def marks(self, test: str, what: str, seeds: Sequence[int]) -> Numbers:
        """``[seeds, items]``."""
        return np.array([self.results[seed]["tests"][test][what] for seed in seeds], dtype=np.float64)

    def gains(self, test: str, seeds: Sequence[int]) -> Numbers:
        """``[seeds, items]``: 1 where the own photo is what makes it right, -1 where it makes it wrong."""
        return self.marks(test, "right", seeds) - self.marks(test, "wrong_photo", seeds)

    def found(self, pairs: str, k: str, seeds: Sequence[int]) -> Numbers:
        """``[seeds, pairs]``."""
        return np.array([self.results[seed]["recall"][pairs][k] for seed in seeds], dtype=np.float64)


def lines(results: Sequence[Mapping[str, Any]]) -> list[Line]:
    """One line a row, recipe and share, in the order of the results."""
    by: dict[tuple[str, str, float], dict[int, Mapping[str, Any]]] = {}
    for found in results:
        cell = found["cell"]
        by.setdefault((cell["row"], cell["recipe"], cell["share"]), {})[cell["seed"]] = found
    return [Line(*name, several) for name, several in by.items()]


def tables(made: Sequence[Line], base: str) -> str:
    """Every table, Markdown.

    Args:
        base: the row whose seeds the others are compared with, seed by seed.
    """
    whole = [line for line in made if line.share == 1]
    first = next(iter(whole[0].results.values()))
    foundation = next((line for line in whole if line.row == base), None)
    parts = [_test(whole, name, foundation) for name in first["tests"]]
    parts += [_recall(whole, first["recall"], foundation), _kinds(whole, "SugarCrepe"), _sizes(made, base)]
    return "\n".join(parts)


def _sizes(made: Sequence[Line], base: str) -> str:
    """Every row that was trained on several shares, each against `base` on the same share."""
    shares = sorted({line.share for line in made})
    names = {(line.row, line.recipe) for line in made if line.share != 1}
    chosen = [line for share in shares for line in made if line.share == share and (line.row, line.recipe) in names]
    bases = {line.share: line for line in chosen if line.row == base}
    first = next(iter(made[0].results.values()))
    tests = {name: test for name, test in first["tests"].items() if not name.startswith("seen")}
    head = ["photos", "negatives", "recipe", *(f"{name}{what}" for name in tests for what in ("", ", against"))]
    body = []
    for line in chosen:
        cells = [f"{line.share:.0%}", line.row, f"`{line.recipe}`"]
        for name, test in tests.items():
            values = partial(Line.marks, test=name, what="right")
            cells.append(estimate(values(line, seeds=list(line.results)), test["photo"]).text())
            cells.append(_against(line, bases.get(line.share), values, test["photo"]))
        body.append(cells)
    return f"**With fewer photos**, against `{base}` on as many:\n\n" + _table(head, body)


def _test(made: Sequence[Line], name: str, base: Line | None) -> str:
    values = {
        "own photo": partial(Line.marks, test=name, what="right"),
        "wrong photo": partial(Line.marks, test=name, what="wrong_photo"),
        "own - wrong": partial(Line.gains, test=name),
    }
    head = ["negatives", "recipe", *(column for what in values for column in (what, "against `none`"))]
    photos = next(iter(made[0].results.values()))["tests"][name]["photo"]
    body = []
    for line in made:
        cells = [line.row, f"`{line.recipe}`"]
        for what, of in values.items():
            cells.append(estimate(of(line, seeds=list(line.results)), photos).text(signed="-" in what))
            cells.append(_against(line, base, of, photos))
        body.append(cells)
    several = f"{len(photos)} items on {len(set(photos))} photos, {len(made[0].results)} seeds"
    return f"**{name}**, {several}, percent of captions above the foil:\n\n" + _table(head, body)


def _recall(made: Sequence[Line], names: Mapping[str, Any], base: Line | None) -> str:
    head = ["negatives", "recipe"]
    for name, found in names.items():
        head += [f"{name}: R@{k} of {len(hits)}" for k, hits in found.items()] + ["R@1 against `none`"]
    body = []
    for line in made:
        seeds, cells = list(line.results), [line.row, f"`{line.recipe}`"]
        for name, found in names.items():
            photos = range(len(found["1"]))
            cells += [estimate(line.found(name, k, seeds), photos).text() for k in found]
            cells.append(_against(line, base, partial(Line.found, pairs=name, k="1"), photos))
        body.append(cells)
    return "**Retrieval**, mean of both directions, percent:\n\n" + _table(head, body)


def _against(line: Line, base: Line | None, values: Callable[..., Numbers], photos: Sequence[int]) -> str:
    """The difference of the seeds that both have."""
    if base is None or base is line:
        return ""
    seeds = [seed for seed in line.results if seed in base.results]
    return estimate(values(line, seeds=seeds) - values(base, seeds=seeds), photos).text(signed=True) if seeds else ""


def _kinds(made: Sequence[Line], name: str) -> str:
    """Means by kind of item."""
    test = next(iter(made[0].results.values()))["tests"][name]
    kinds = sorted(set(test["kind"]))
    of = {kind: [place for place, one in enumerate(test["kind"]) if one == kind] for kind in kinds}
    body = [
        [line.row, f"`{line.recipe}`"]
        + [f"{100 * line.marks(name, 'right', list(line.results))[:, of[kind]].mean():.1f}" for kind in kinds]
        for line in made
    ]
    return f"**{name} by kind**, percent:\n\n" + _table(
        ["negatives", "recipe", *(f"{kind} ({len(of[kind])})" for kind in kinds)], body
    )


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
