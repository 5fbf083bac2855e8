"""How fast are figures drawn, and does the guarantee hold?

    python benchmarks/speed/render.py [--groups 2000] [--drawn 300] [--turns 3] [--scratch DIR]

On one core: images a second of 128 pixels, from the program to the pixels, by our renderer and by matplotlib (the
exported scripts, letters already placed); groups of eight a second, end to end; of so many groups in each domain the
oracle's verdicts, all pairs; how many edits would be false negatives if nobody looked; what a reader of captions alone
can tell; and the peak memory of `negmine render` for one and for ten times as many groups.
"""

from __future__ import annotations

import argparse
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from math import sqrt
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from comparison import Comparison, Row, show, take_turns
from memory import BIN, run
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import encode_png, raster
from negmine.stages.figures.export import to_matplotlib
from negmine.stages.figures.group import Group, make_group, matrix
from negmine.stages.figures.perturb import Member, grow, refutes
from negmine.stages.figures.settings import GroupSettings
from rich.console import Console
from rich.table import Table

NEGATIVES = 7
LEVEL = 5
console = Console(highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--drawn", type=int, default=300)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    show(compare(options.turns, options.drawn))
    made = {name: list(islice(groups_of_eight(name), options.groups)) for name in DOMAINS}
    console.print(verdicts(made))
    console.print(blind(made))
    console.print(memory(options.scratch))


# --- speed -----------------------------------------------------------------------------------------------------------


def compare(turns: int = 3, count: int = 100, groups: int = 50) -> Comparison:
    """Our renderer against matplotlib; and whole groups, for which there is no peer.

    Args:
        count: images of a domain in a turn; a tenth of them by matplotlib.
        groups: of a domain in a turn.
    """
    rows = []
    for name, domain in DOMAINS.items():
        settings = GroupSettings(name, level=LEVEL, negatives=1)
        members = [make_group(domain, settings, index).members[0] for index in range(count)]
        scripts = [to_matplotlib(m.drawing, m.setting.style) for m in members[: max(1, count // 10)]]
        runs = {"ours": partial(each, draw, members), "theirs": partial(each, plot, scripts)}
        rates = take_turns(runs, turns, time.process_time, warm=1)
        rows.append(Row(f"drawn, {name}", "images/s", rates["ours"], "matplotlib", rates["theirs"]))
        rates = take_turns({"ours": partial(make_groups, name, groups)}, turns, time.process_time)
        rows.append(Row(f"groups of up to eight, {name}", "groups/s", rates["ours"]))
    setting = "128 pixels, from the program to the pixels (groups: from nothing to PNG), one core, CPU seconds"
    return Comparison("render", setting, rows)


def each(work: Callable[[Any], None], items: Sequence[Any]) -> float:
    """Do it to each; how many there were."""
    for item in items:
        work(item)
    return len(items)


def make_groups(name: str, count: int) -> float:
    """Groups of a domain, their images encoded."""
    for index in range(count):
        for member in make_group(DOMAINS[name], GroupSettings(name, level=LEVEL, negatives=NEGATIVES), index).members:
            encode_png(member.image)
    return count


def draw(member: Member) -> None:
    domain, style = member.setting.domain, member.setting.style
    raster(domain.drawing(domain.realise(member.program), style), style, 128)


def plot(script: str) -> None:
    """Run an exported script, its image into memory."""
    import matplotlib.pyplot as plt

    place: dict[str, Any] = {"image": io.BytesIO()}
    exec(script.replace('"figure.png"', "image"), place)
    plt.close("all")


# --- groups ----------------------------------------------------------------------------------------------------------


def groups_of_eight(name: str) -> Iterator[Group]:
    settings, index = GroupSettings(name, level=LEVEL, negatives=NEGATIVES, size=64), 0
    while True:
        group = make_group(DOMAINS[name], settings, index)
        index += 1
        if len(group.members) == NEGATIVES + 1:
            yield group


def verdicts(made: dict[str, list[Group]]) -> Table:
    table = Table(
        "domain",
        "groups",
        "own captions true",
        "others false",
        "unchecked: text",
        "unchecked: image",
        title="the oracle on groups of eight; and the share of unchecked edits that are no negatives",
    )
    for name, groups in made.items():
        found = np.array([matrix(group) for group in groups])
        own = np.eye(NEGATIVES + 1, dtype=bool)
        naive = [grow(group.members[0], LEVEL, NEGATIVES, Random(group.key), {}).members for group in groups[:300]]
        pairs = [(members[0], other) for members in naive for other in members[1:]]
        text = np.mean([not refutes(base, other.claims) for base, other in pairs])
        image = np.mean([not refutes(other, base.claims) for base, other in pairs])
        table.add_row(
            name,
            f"{len(groups):,}",
            f"{found[:, own].sum():,} of {found[:, own].size:,}",
            f"{(~found[:, ~own]).sum():,} of {found[:, ~own].size:,}",
            f"{text:.1%}",
            f"{image:.1%}",
        )
    return table


# --- what captions alone tell ----------------------------------------------------------------------------------------


def blind(made: dict[str, list[Group]]) -> Table:
    table = Table(
        "domain",
        "base or negative",
        "chance",
        "the anchor among eight",
        "chance",
        title="a linear reader of word n-grams, trained on one half of the groups, judged on the other",
    )
    for name, groups in made.items():
        texts = [[masked(member) for member in group.members] for group in groups]
        half = len(texts) // 2
        pairwise, top = read_blindly(texts, half)
        low, high = (0.5 + sign * 1.96 * 0.5 / sqrt(half) for sign in (-1, 1))
        spread = 1.96 * sqrt(1 / 8 * 7 / 8 / half)
        table.add_row(
            name,
            f"{pairwise:.3f}",
            f"[{low:.3f}, {high:.3f}]",
            f"{top:.3f}",
            f"[{1 / 8 - spread:.3f}, {1 / 8 + spread:.3f}]",
        )
    return table


def masked(member: Member) -> str:
    """The caption with its point letters alike."""
    return re.sub(r"\b[A-Z]\b", "N", member.caption)


def read_blindly(texts: list[list[str]], half: int) -> tuple[float, float]:
    """Accuracy of base against negative (ties at half), and how often the best scored of a group is a random anchor."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = CountVectorizer(ngram_range=(1, 3), min_df=3).fit([text for group in texts for text in group])
    rows = [vectors.transform(group) for group in texts]

    def fit(anchors: list[int]) -> Any:
        gaps = vstack([r[a] - r[i] for r, a in zip(rows, anchors, strict=True) for i in range(r.shape[0]) if i != a])
        labels = np.repeat([1, 0], gaps.shape[0])
        return LogisticRegression(C=0.1, fit_intercept=False, max_iter=500).fit(vstack([gaps, -gaps]), labels)

    rng = Random(0)
    anchors = [rng.randrange(len(group)) for group in texts]
    test = range(half, len(texts))
    rows, everything = rows[:half], rows
    of_base, of_anchor = fit([0] * half), fit(anchors[:half])
    scores = [of_base.decision_function(everything[n]) for n in test]
    gaps = np.concatenate([s[0] - s[1:] for s in scores])
    pairwise = float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    hits = [int(of_anchor.decision_function(everything[n]).argmax()) == anchors[n] for n in test]
    return pairwise, float(np.mean(hits))


# --- memory ----------------------------------------------------------------------------------------------------------


def memory(scratch: Path | None) -> Table:
    table = Table(
        "groups", "peak MB", "seconds", title="memory of `negmine render --domain scenes --size 64`, one worker"
    )
    with TemporaryDirectory(dir=scratch) as folder:
        for count in (600, 6000):
            command = [BIN / "negmine", "render", "--count", count, "--size", 64, "--negatives", 3, "--workers", 1]
            taken = run([*command, "--work", Path(folder) / str(count)])
            table.add_row(f"{count:,}", f"{taken.peak_mb:,.0f}", f"{taken.seconds:,.0f}")
    return table


if __name__ == "__main__":
    main()
