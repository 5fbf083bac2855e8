"""Groups: made from a seed and a number, and as records."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from negmine.base.errors import UsageError
from negmine.stages.figures import describe
from negmine.stages.figures.domain import Domain
from negmine.stages.figures.perturb import (
    Grown,
    Member,
    Setting,
    agrees,
    changed_pixels,
    grow,
    refusal,
    refutes,
    wander,
)
from negmine.stages.figures.program import Program, to_json
from negmine.stages.figures.settings import GroupSettings

VERSION: Final = 1
"""Of the generator: the same version, seed and number give the same group."""

_BASES: Final = 400
"""Programs tried before a level is given up; about one in two can be used."""


@dataclass(frozen=True)
class Group:
    """A base and its perturbed members.

    Attributes:
        key: hash of version, seed, domain and number.
        origin: the group's number, or the id of the record that its base was drawn from.
        unit: hash of the base's name-free skeleton; groups of one unit lie on the same side of a split.
        refused: proposals by the rule that refused them, with ``proposed`` for all of them.
    """

    key: str
    origin: str
    unit: str
    domain: str
    seed: int
    members: tuple[Member, ...]
    refused: Mapping[str, int]


def make_group(domain: Domain, settings: GroupSettings, index: int) -> Group:
    """Group number `index` of a seed; nothing else decides what is in it.

    Raises:
        UsageError: no program of this level can be drawn at this size.
    """
    name = f"{VERSION}|{domain.name}|{settings.level}|{settings.negatives}|{settings.size}|{settings.seed}|{index}"
    rng = Random(name)  # not `base.hashing.generator`: the evidence rests on the bytes of these figures
    base, refused = _base(domain, settings, rng)
    grown = grow(base, settings.level, settings.negatives, rng)
    return _group(domain, settings.seed, name, str(index), grown, refused)


def perturb_program(domain: Domain, settings: GroupSettings, program: Program, origin: str) -> Group | str:
    """The group whose base is a given program, or the name of the rule that the program breaks."""
    name = f"{VERSION}|{settings.domain}|{settings.negatives}|{settings.size}|{settings.seed}|{origin}"
    rng = Random(name)
    setting = Setting(domain, domain.style(rng), describe.draw_wording(domain.templates, rng), settings.size)
    base = Member(program, setting)
    reason = refusal(base, ())
    if reason is not None:
        return reason
    return _group(domain, settings.seed, name, origin, grow(base, settings.level, settings.negatives, rng), {})


def _group(domain: Domain, seed: int, name: str, origin: str, grown: Grown, refused: Mapping[str, int]) -> Group:
    key = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:20]
    skeleton = domain.skeleton(grown.members[0].program)
    unit = hashlib.sha1(skeleton.encode(), usedforsecurity=False).hexdigest()[:12]
    return Group(key, origin, unit, domain.name, seed, grown.members, Counter(refused) + Counter(grown.refused))


def _base(domain: Domain, settings: GroupSettings, rng: Random) -> tuple[Member, Counter[str]]:
    """The first program that is whole, true to its own claims, readable and inside its frame."""
    refused = Counter[str]()
    for _ in range(_BASES):
        setting = Setting(domain, domain.style(rng), describe.draw_wording(domain.templates, rng), settings.size)
        try:
            base = wander(Member(domain.sample(rng, settings.level), setting), settings.level, rng)
        except ValueError:
            refused["base_without_figure"] += 1
            continue
        reason = refusal(base, ())
        if reason is None and base.claims:
            return base, refused
        refused["base_refused"] += 1
    raise UsageError(
        f"{_BASES} programs of {domain.name} at difficulty {settings.level} cannot be drawn at {settings.size} pixels",
        fix="use a larger --size or another --difficulty",
    )


# --- records ---------------------------------------------------------------------------------------------------------


def matrix(group: Group) -> list[list[bool]]:
    """Whether the drawing of each row makes the caption of each column true; the identity by construction.

    Raises:
        AssertionError: the oracle is undecided of a pair, which the rules exclude.
    """
    return [[_verdict(row, column) for column in group.members] for row in group.members]


def _verdict(drawing: Member, caption: Member) -> bool:
    if agrees(caption.claims, drawing):
        return True
    assert refutes(drawing, caption.claims), (caption.caption, drawing.caption)
    return False


def style_record(group: Group) -> str:
    """How all members are drawn, as JSON."""
    return json.dumps(asdict(group.members[0].setting.style), separators=(",", ":"))


def member_record(member: Member) -> dict[str, object]:
    """What Parquet holds of a member, without its drawing."""
    wording = member.setting.wording
    return {
        "program": json.dumps(to_json(member.program), separators=(",", ":")),
        "caption": member.caption,
        "claims": json.dumps(member.claims, separators=(",", ":")),
        "templates": [wording.choice[claim.what] for claim in member.claims],
    }


def edit_record(base: Member, member: Member) -> dict[str, object]:
    """How a member differs from the base."""
    assert member.edit is not None  # only the base has none
    before, after = set(base.claims), set(member.claims)
    return {
        "type": member.edit.type,
        "kind": member.edit.kind,
        "tier": member.edit.tier,
        "slot": member.edit.slot,
        "old": member.edit.old,
        "new": member.edit.new,
        "claims_removed": json.dumps(sorted(before - after), separators=(",", ":")),
        "claims_added": json.dumps(sorted(after - before), separators=(",", ":")),
        "pixels_changed": changed_pixels(base, member),
    }
