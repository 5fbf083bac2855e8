"""Groups: the guarantee, what it rests on, and that a seed is all there is to know."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from math import sqrt
from random import Random

import numpy as np
import pytest
from negmine.base.errors import ResourceError, UsageError
from negmine.stages.figures import describe, draw
from negmine.stages.figures.domain import Domain
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import encode_png
from negmine.stages.figures.group import Group, make_group, matrix, member_record
from negmine.stages.figures.perturb import LEAST_PIXELS, RULES, Grown, Member, changed_pixels, grow, refutes
from negmine.stages.figures.program import from_json, to_code, to_json
from negmine.stages.figures.settings import GroupSettings
from scipy.sparse import vstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

LEVELS = {"geometry": (2, 3, 5), "scenes": (1, 3, 5)}
NAMES = sorted(DOMAINS)


@cache
def groups(name: str, level: int, count: int, negatives: int = 7, size: int = 96) -> tuple[Group, ...]:
    settings = GroupSettings(name, level=level, negatives=negatives, size=size, seed=11)
    return tuple(make_group(DOMAINS[name], settings, index) for index in range(count))


# --- the guarantee ---------------------------------------------------------------------------------------------------


def identity(size: int) -> list[list[bool]]:
    return [[row == column for column in range(size)] for row in range(size)]


@pytest.mark.parametrize("name", NAMES)
def test_every_image_makes_its_own_caption_true_and_refutes_all_others(name: str) -> None:
    for level in LEVELS[name]:
        for group in groups(name, level, 60):
            assert matrix(group) == identity(len(group.members)), group.key


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_two_thousand_groups_of_eight(name: str) -> None:
    settings, found, index = GroupSettings(name, level=5, negatives=7, size=64), 0, 0
    while found < 2000:
        group = make_group(DOMAINS[name], settings, index)
        index += 1
        if len(group.members) == 8:
            found += 1
            assert matrix(group) == identity(8), group.key
    assert index < 2400


def naive(group: Group, rules: dict[str, object]) -> Grown:
    """The base of a group perturbed under fewer rules."""
    level = 5
    return grow(group.members[0], level, 7, Random(group.key), rules)  # type: ignore[arg-type]


def share_unrefuted(grown: list[Grown]) -> float:
    """Ordered pairs of base and negative in which the caption is not false of the image."""
    pairs = [
        (image, caption)
        for g in grown
        for new in g.members[1:]
        for image, caption in ((g.members[0], new), (new, g.members[0]))
    ]
    return sum(not refutes(image, caption.claims) for image, caption in pairs) / len(pairs)


@pytest.mark.parametrize("name", NAMES)
def test_without_the_refutation_rule_false_negatives_appear(name: str) -> None:
    bases = groups(name, 5, 60)
    without = {rule: test for rule, test in RULES.items() if not rule.endswith("_true_elsewhere")}
    assert share_unrefuted([naive(group, dict(RULES)) for group in bases]) == 0
    assert share_unrefuted([naive(group, without) for group in bases]) > 0.01
    assert share_unrefuted([naive(group, {}) for group in bases]) > 0.03


@pytest.mark.parametrize("name", NAMES)
def test_every_member_looks_and_reads_unlike_every_other(name: str) -> None:
    for group in groups(name, 5, 20):
        for n, one in enumerate(group.members):
            for other in group.members[:n]:
                assert changed_pixels(one, other) >= LEAST_PIXELS
                assert one.caption.lower() != other.caption.lower()


@pytest.mark.parametrize("name", NAMES)
def test_pixel_rule_is_needed_and_enforced(name: str) -> None:
    """A group drawn in white on white would pass all other rules."""
    base = groups(name, 3, 1)[0].members[0]
    blank = Member(base.program, base.setting)
    blank.pixels = base.pixels * 0 + 255
    new = Member(base.program, base.setting)
    new.pixels = blank.pixels
    assert RULES["same_pixels"](new, [blank])
    assert not RULES["same_pixels"](groups(name, 3, 1)[0].members[1], [base])


# --- edits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_negative_is_one_edit_away(name: str) -> None:
    """A one-slot edit changes one line of the program's code (letters and swaps change more)."""
    for group in groups(name, 5, 20):
        base = to_code(group.members[0].program).splitlines()
        for member in group.members[1:]:
            assert member.edit is not None
            lines = to_code(member.program).splitlines()
            differing = max(len(set(base) - set(lines)), len(set(lines) - set(base)))
            most = {"letters": len(base)}.get(member.edit.type, 2 if member.edit.type.startswith("swap") else 1)
            assert 1 <= differing <= most, member.edit


def test_every_type_of_edit_occurs() -> None:
    """In 100 groups each of the hardest level; no type takes more than its share of a group."""
    for name, least in (("geometry", 26), ("scenes", 13)):
        seen = Counter(m.edit.type for g in groups(name, 5, 60) for m in g.members[1:] if m.edit)
        known = {"more", "fewer"} | set(DOMAINS[name].editors(5))
        assert set(seen) <= known
        assert len(seen) >= least, sorted(known - set(seen))
        for group in groups(name, 5, 60):
            types = Counter(m.edit.type for m in group.members[1:] if m.edit)
            assert max(types.values()) <= 3


def test_kinds_and_tiers_are_those_of_the_records() -> None:
    from negmine.contract.records import KINDS

    for name in NAMES:
        for group in groups(name, 5, 60):
            for member in group.members[1:]:
                assert member.edit is not None
                assert member.edit.kind in KINDS
                assert 0 <= member.edit.tier <= 4
                assert member.edit.kind.startswith("geometry_") == (name == "geometry")


def test_fewer_members_where_a_program_has_too_few_edits() -> None:
    """Two lines without letters can stand in three relations: 31 negatives are not to be had."""
    settings = GroupSettings("geometry", level=1, negatives=31, size=64)
    sizes = [len(make_group(DOMAINS["geometry"], settings, index).members) for index in range(10)]
    assert max(sizes) < 32
    group = make_group(DOMAINS["geometry"], settings, 0)
    refused = sum(n for reason, n in group.refused.items() if reason not in ("proposed", "base_refused"))
    assert group.refused["proposed"] == refused + len(group.members) - 1


# --- captions --------------------------------------------------------------------------------------------------------


def test_captions_fit_the_tokenizer_and_are_counted_as_it_counts() -> None:
    import open_clip

    tokenize = open_clip.get_tokenizer("ViT-B-32")
    captions = sorted(
        {m.caption for n in NAMES for level in LEVELS[n] for g in groups(n, level, 60) for m in g.members}
    )
    counted = [describe.count_tokens(caption) for caption in captions]
    assert counted == (tokenize(captions) != 0).sum(dim=1).tolist()
    assert max(counted) < describe.CONTEXT


def test_letters_are_tokens_of_their_own() -> None:
    captions = [m.caption for g in groups("geometry", 5, 20) for m in g.members]
    assert not [caption for caption in captions if re.search("[A-Z]{2}", caption)]


@pytest.mark.parametrize(("name", "level"), [("geometry", 5), ("scenes", 3), ("scenes", 5)])
def test_captions_alone_do_not_tell_base_from_negative(name: str, level: int) -> None:
    """A linear reader of words and word pairs, trained on half of the groups, is at chance on the other half."""
    texts = [[re.sub(r"\b[A-Z]\b", "N", m.caption) for m in g.members] for g in groups(name, level, 240, 3, 64)]
    scores = read_blindly(texts, [0] * len(texts))
    gaps = np.concatenate([own[0] - own[1:] for own in scores])
    accuracy = ((gaps > 0) + 0.5 * (gaps == 0)).mean()
    assert abs(accuracy - 0.5) < 2.58 * 0.5 / sqrt(len(scores))  # the negatives of one group are not independent


@pytest.mark.parametrize("name", NAMES)
def test_captions_alone_do_not_find_a_random_anchor(name: str) -> None:
    texts = [[m.caption for m in g.members] for g in groups(name, 5, 240, 3, 64) if len(g.members) == 4]
    rng = Random(2)
    anchors = [rng.randrange(4) for _ in texts]
    scores = read_blindly(texts, anchors)
    found = np.mean([own.argmax() == anchor for own, anchor in zip(scores, anchors[len(texts) // 2 :], strict=True)])
    assert abs(found - 0.25) < 2.58 * sqrt(0.25 * 0.75 / len(scores))


def read_blindly(texts: list[list[str]], anchors: list[int]) -> list[np.ndarray]:
    """Scores of the second half's captions by a reader that learned anchors from others on the first half."""
    vectors = CountVectorizer(ngram_range=(1, 2)).fit([text for group in texts for text in group])
    rows, half = [vectors.transform(group) for group in texts], len(texts) // 2
    gaps = vstack(
        [r[a] - r[i] for r, a in zip(rows[:half], anchors, strict=False) for i in range(r.shape[0]) if i != a]
    )
    labels = np.repeat([1, 0], gaps.shape[0])
    reader = LogisticRegression(C=0.1, fit_intercept=False).fit(vstack([gaps, -gaps]), labels)
    return [reader.decision_function(r) for r in rows[half:]]


# --- one seed, one set of bytes --------------------------------------------------------------------------------------

_PRINT = """
import hashlib, json
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import encode_png
from negmine.stages.figures.settings import GroupSettings
from negmine.stages.figures.group import make_group, member_record
for name in sorted(DOMAINS):
    for index in (7, 3):
        group = make_group(DOMAINS[name], GroupSettings(name, level=5, negatives=7, size=96, seed=11), index)
        body = [(member_record(m), hashlib.sha256(encode_png(m.image)).hexdigest()) for m in group.members]
        print(name, index, hashlib.sha256(json.dumps(body).encode()).hexdigest())
"""


def fingerprint(group: Group) -> str:
    body = [(member_record(m), hashlib.sha256(encode_png(m.image)).hexdigest()) for m in group.members]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_same_bytes_in_another_process_and_another_order(hash_seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PRINT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    here = [f"{name} {index} {fingerprint(groups(name, 5, 20)[index])}" for name in NAMES for index in (7, 3)]
    assert done.stdout.split("\n")[:-1] == here


@pytest.mark.parametrize("name", NAMES)
def test_programs_survive_json(name: str) -> None:
    domain: Domain = DOMAINS[name]
    for group in groups(name, 5, 20):
        for member in group.members:
            text = json.dumps(to_json(member.program))
            assert from_json(json.loads(text), domain.statements) == member.program


def test_another_seed_is_another_group() -> None:
    domain = DOMAINS["scenes"]
    one, other = (make_group(domain, GroupSettings("scenes", seed=seed, size=64), 0) for seed in (1, 2))
    assert one.key != other.key
    assert one.members[0].program != other.members[0].program


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 8}, "--size is 8"),
        ({"size": 5000}, "48 to 1024"),
        ({"negatives": 0}, "--negatives is 0"),
        ({"level": 6}, "--difficulty is 6"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        GroupSettings("scenes", **change)  # type: ignore[arg-type]
    assert words in str(refused.value)


def test_a_missing_font_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(draw, "FONT", f"{tmp_path}/none.ttf")
    draw.load_font.cache_clear()
    try:
        with pytest.raises(ResourceError, match="font of figures"):
            encode_png(
                make_group(DOMAINS["geometry"], GroupSettings("geometry", level=5, negatives=1), 0).members[0].image
            )
    finally:
        draw.load_font.cache_clear()
