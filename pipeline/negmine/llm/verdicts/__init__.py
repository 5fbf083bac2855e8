"""Questions that are answered by yes or no, and how probable yes is: by the first token, without drawing one."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from negmine.base.documents import read_settings
from negmine.llm.client import Reply
from negmine.llm.questions import Messages

_FOLDER: Final = files("negmine.llm.verdicts")
_YES, _NO = "yes", "no"

STILL_TRUE: Final = "still_true"
TRUE_OF_PICTURE: Final = "true_of_picture"
PLAUSIBLE: Final = "plausible"


@dataclass(frozen=True)
class Verdict:
    """A question about a caption and a text, or about the text alone.

    Attributes:
        name: of its file, the rules.
        system: the rules.
        has_caption: whether the caption is shown.
    """

    name: str
    system: str
    has_caption: bool

    def messages(self, caption: str, text: str | None) -> Messages:
        asked = f"First: {caption}\nSecond: {text}" if self.has_caption else f"Caption: {text}"
        return [{"role": "system", "content": self.system}, {"role": "user", "content": f"{asked}\nAnswer:"}]


def load_verdict(name: str) -> Verdict:
    """One of the questions above."""
    return Verdict(name, read_settings(_FOLDER / f"{name}.txt").strip(), name == STILL_TRUE)


def read_yes(reply: Reply) -> str:
    """The probabilities of yes and no among the likeliest first tokens, as JSON.

    Raises:
        ValueError: neither is among them.
    """
    found = {_YES: 0.0, _NO: 0.0}
    for token, logprob in reply.likeliest:
        word = token.strip().strip("*\"'.").lower()
        if word in found:
            found[word] += math.exp(min(logprob, 0.0))
    if not found[_YES] + found[_NO] > 0:
        raise ValueError(f"neither yes nor no is likely: {', '.join(repr(token) for token, _ in reply.likeliest[:5])}")
    return json.dumps(found)


def probability(answer: str) -> float:
    """Of yes, where it is yes or no: 0 to 1."""
    found = json.loads(answer)
    return float(found[_YES] / (found[_YES] + found[_NO]))
