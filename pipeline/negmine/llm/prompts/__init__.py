"""What a model is told and shown before a caption: one file for each kind of text.

A file names its frame (the rules, a ``.txt`` beside it), the kind of what is written, the task in words, and examples,
which are shown as earlier turns of the talk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from negmine.base.documents import Document, check_kind, find_document, load_document, packaged, read_settings
from negmine.base.errors import UsageError
from negmine.base.names import pick

_FOLDER: Final = files("negmine.llm.prompts")
_FIELDS: Final[Mapping[str, object]] = {"frame": str, "kind": str, "task": str}
_TRUE: Final = "true"
FRAMES: Final = ("false", "denied", _TRUE)

DEFAULT: Final = (
    "replace_object",
    "replace_attribute",
    "replace_relation",
    "replace_action",
    "swap_object",
    "swap_attribute",
)


@dataclass(frozen=True)
class Prompt:
    """A request for texts of one kind.

    Attributes:
        name: of its file.
        kind: of what is written.
        is_true: whether the texts are true of what the caption is true of.
        system: the rules.
        examples: captions and what may be written of them.
    """

    name: str
    kind: str
    is_true: bool
    system: str
    examples: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def shown(self) -> tuple[str, ...]:
        """All captions and texts of the examples, which small models like to repeat."""
        return tuple(text for caption, texts in self.examples for text in (caption, *texts))

    def messages(self, caption: str) -> list[dict[str, str]]:
        """The talk up to a caption."""
        turns = [{"role": "system", "content": self.system}]
        for shown, texts in self.examples:
            turns += [_said("user", shown), _said("assistant", json.dumps({"texts": texts}, ensure_ascii=False))]
        return [*turns, _said("user", caption)]


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def texts_schema(most: int) -> Document:
    """The JSON schema of an answer: at most so many texts."""
    texts = {"type": "array", "items": {"type": "string"}, "maxItems": most}
    return {"type": "object", "properties": {"texts": texts}, "required": ["texts"], "additionalProperties": False}


def read_texts(answer: str) -> tuple[str, ...]:
    """The texts of an answer.

    Raises:
        ValueError: it is not as `texts_schema` says, or longer.
    """
    found = json.loads(answer)
    texts = found.get("texts") if isinstance(found, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("it holds no list of texts")
    return tuple(texts)


def names() -> list[str]:
    """Of the packaged prompts."""
    return packaged(_FOLDER)


def load_prompt(name: str, texts: int) -> Prompt:
    """A packaged prompt by its name, or a person's own TOML file.

    Args:
        texts: asked for, at most.

    Raises:
        UsageError: there is none, or it lacks a field or has one of another type.
    """
    body = load_document("prompt", name, _FOLDER, ".toml")
    for field, kind in _FIELDS.items():
        check_kind(field, body.get(field), kind)
    for unknown in sorted(body.keys() - _FIELDS.keys() - {"examples"}):
        pick("field of a prompt", unknown, [*_FIELDS, "examples"])
    from negmine.contract.records import KINDS  # brings pyarrow, which ``--help`` need not wait for

    pick("kind", body["kind"], KINDS)
    frame = pick("frame", body["frame"], FRAMES)
    system = read_settings(_FOLDER / f"{frame}.txt").format(task=body["task"].strip(), texts=texts)
    stem = Path(str(find_document("prompt", name, _FOLDER, ".toml"))).stem
    examples = tuple((caption, shown[:texts]) for caption, shown in map(_example, body.get("examples", [])))
    return Prompt(stem, body["kind"], frame == _TRUE, system.strip(), examples)


def _example(found: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(found, dict) or set(found) != {"caption", "texts"}:
        raise UsageError(
            "an example of a prompt has a caption and texts", why=f"it is {str(found)[:80]}", fix="mend it"
        )
    check_kind("caption", found["caption"], str)
    check_kind("texts", found["texts"], tuple[str, ...])
    return found["caption"], tuple(found["texts"])
