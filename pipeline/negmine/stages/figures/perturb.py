"""Members of a group, and the rules by which a perturbed program becomes one (the guarantee).

Every member's drawing makes its own claims true and refutes every other member's caption, as the oracle measures both;
every change can be seen, and every caption is a text of its own that a text tower reads to the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING, Final

from negmine.stages.figures import describe
from negmine.stages.figures.canvas import Drawing, Style
from negmine.stages.figures.domain import Claim, Domain, Edit, Figure, Verdict
from negmine.stages.figures.draw import raster
from negmine.stages.figures.program import Program

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

VISIBLE: Final = 64
"""A pixel has changed if a channel differs by more than this, of 255."""

LEAST_PIXELS, LEAST_SHARE = 8, 0.0005
"""Pixels that must change between two members: at least so many, and at least this share of the drawing."""

TRIES: Final = 16
"""Proposals for each member asked for, before a group stays smaller."""


@dataclass(frozen=True)
class Setting:
    """What the members of a group have in common.

    Attributes:
        size: pixels a side.
    """

    domain: Domain
    style: Style
    wording: describe.Wording
    size: int


@dataclass
class Member:
    """A program with all that follows from it, made when it is first asked for."""

    program: Program
    setting: Setting
    edit: Edit | None = None
    figure: Figure = field(init=False)

    def __post_init__(self) -> None:
        self.figure = self.setting.domain.realise(self.program)

    @cached_property
    def claims(self) -> tuple[Claim, ...]:
        return self.setting.domain.claims(self.program)

    @cached_property
    def caption(self) -> str:
        return describe.caption(self.claims, self.setting.domain.templates, self.setting.wording)

    @cached_property
    def drawing(self) -> Drawing:
        return self.setting.domain.drawing(self.figure, self.setting.style)

    @cached_property
    def image(self) -> Image:
        return raster(self.drawing, self.setting.style, self.setting.size)

    @cached_property
    def pixels(self) -> NDArray[np.int16]:
        """``[3, S, S]`` numbers."""
        import numpy as np

        return np.stack([np.asarray(band) for band in self.image.convert("RGB").split()]).astype(np.int16)

    def verdicts(self, claims: Sequence[Claim]) -> list[Verdict]:
        """What the oracle says of claims about this member's figure."""
        return [self.setting.domain.judge(claim, self.figure) for claim in claims]


def agrees(claims: Sequence[Claim], member: Member) -> bool:
    """Every claim is true of the member's figure."""
    return all(verdict is True for verdict in member.verdicts(claims))


def refutes(member: Member, claims: Sequence[Claim]) -> bool:
    """Some claim is false of the member's figure, beyond doubt."""
    return any(member.setting.domain.judge(claim, member.figure) is False for claim in claims)


def changed_pixels(one: Member, other: Member) -> int:
    """How many pixels differ visibly."""
    red, green, blue = abs(one.pixels - other.pixels) > VISIBLE
    return int((red | green | blue).sum())


# --- the rules -------------------------------------------------------------------------------------------------------

Rule = Callable[[Member, Sequence[Member]], bool]
"""Whether a new member is refused, given those that are there."""


def _contradicts_itself(new: Member, group: Sequence[Member]) -> bool:
    return not agrees(new.claims, new)


def _caption_true_elsewhere(new: Member, group: Sequence[Member]) -> bool:
    return not all(refutes(member, new.claims) for member in group)


def _image_true_elsewhere(new: Member, group: Sequence[Member]) -> bool:
    return not all(refutes(new, member.claims) for member in group)


def _same_words(new: Member, group: Sequence[Member]) -> bool:
    return any(new.caption.lower() == member.caption.lower() for member in group)


def _too_long(new: Member, group: Sequence[Member]) -> bool:
    return describe.count_tokens(new.caption) > describe.CONTEXT


def _leaves_the_frame(new: Member, group: Sequence[Member]) -> bool:
    return not new.drawing.inside


def _unreadable(new: Member, group: Sequence[Member]) -> bool:
    return not new.drawing.clear


def _same_pixels(new: Member, group: Sequence[Member]) -> bool:
    least = max(LEAST_PIXELS, LEAST_SHARE * new.setting.size**2)
    return any(changed_pixels(new, member) < least for member in group)


TOLD_APART: Final[Mapping[str, Rule]] = {
    "contradicts_itself": _contradicts_itself,
    "caption_true_elsewhere": _caption_true_elsewhere,
    "image_true_elsewhere": _image_true_elsewhere,
    "same_words": _same_words,
}
"""The rules that need no drawing."""

RULES: Final[Mapping[str, Rule]] = {
    **TOLD_APART,
    "too_long": _too_long,
    "leaves_the_frame": _leaves_the_frame,
    "unreadable": _unreadable,
    "same_pixels": _same_pixels,
}
"""By the name that is counted; the cheap ones first."""


def refusal(new: Member, group: Sequence[Member], rules: Mapping[str, Rule] = RULES) -> str | None:
    """The first rule that refuses a new member, or None."""
    return next((name for name, refuses in rules.items() if refuses(new, group)), None)


# --- the base ---

WANDERING: Final = 40
"""Edits between a program at random and the base of its group."""


def wander(start: Member, level: int, rng: Random) -> Member:
    """A base that is itself the outcome of edits, each true to its claims and told apart from the one before.

    Programs at random and programs that were edited differ in what is frequent, and a reader of captions could learn
    which are which. After some edits, one more makes no such difference: base and members are of one distribution.
    """
    editors = start.setting.domain.editors(level)
    base = start
    for _ in range(WANDERING):
        proposal = editors[rng.choice(list(editors))](base.program, rng)
        if proposal is None:
            continue
        try:
            new = Member(proposal[1], base.setting)
        except ValueError:
            continue
        if refusal(new, (base,), TOLD_APART) is None:
            base = new
    return base


# --- growing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grown:
    """A group's members, the base first, and what was refused on the way, by rule."""

    members: tuple[Member, ...]
    refused: Mapping[str, int]


def grow(base: Member, level: int, negatives: int, rng: Random, rules: Mapping[str, Rule] = RULES) -> Grown:
    """Add up to `negatives` one-slot edits of the base to it.

    The type of an edit is drawn before the edit, and no type may have more than its share, so that the frequent ones
    (letters, say) do not fill the group.
    """
    members, refused, used = [base], Counter[str](), Counter[str]()
    most = max(1, -(-negatives // 3))
    for edit, program in _proposals(base, level, rng, TRIES * negatives):
        if used[edit.type] >= most:
            continue
        refused["proposed"] += 1
        try:
            new = Member(program, base.setting, edit)
        except ValueError:
            refused["no_figure"] += 1
            continue
        reason = refusal(new, members, rules)
        if reason is not None:
            refused[reason] += 1
            continue
        members.append(new)
        used[edit.type] += 1
        if len(members) > negatives:
            break
    return Grown(tuple(members), refused)


def _proposals(base: Member, level: int, rng: Random, tries: int) -> Iterator[tuple[Edit, Program]]:
    editors = base.setting.domain.editors(level)
    able = [name for name, edit in editors.items() if edit(base.program, Random(0)) is not None]
    for _ in range(tries if able else 0):
        proposal = editors[rng.choice(able)](base.program, rng)
        if proposal is not None:
            yield proposal
