"""The captions that a value holds: a text, a list, a list in somebody's notation, objects, or a conversation."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping, Sequence
from typing import Final

from negmine.sources.row import CAPTION_COLUMNS, Unusable

_ASSISTANTS: Final = frozenset({"gpt", "assistant", "model", "bot"})
_LONGEST_LIST: Final = 256 * 1024
_OPENED = re.compile(r"[\[(]\s*[\"']")
_NUMPY = re.compile(r"array\((\[.*\])(?:,\s*dtype=\S+)?\)", re.DOTALL)


def captions_in(value: object) -> list[object]:
    """The captions of a value, of any type where it is nothing that is known here.

    An object's caption is what stands under the first of the known names, a conversation's is its first answer.

    Raises:
        Unusable: ``no_caption``: the list is empty, or nobody answers.
    """
    if isinstance(value, str):
        return list(_list(value))
    if isinstance(value, Mapping):
        return _of_object(value)
    if not isinstance(value, list):
        return [value]
    if not value:
        raise Unusable("no_caption", "the list of captions is empty")
    if all(isinstance(turn, Mapping) and ("from" in turn or "role" in turn) for turn in value):
        return [_answer(value)]
    return [caption for one in value for caption in (_of_object(one) if isinstance(one, Mapping) else [one])]


def _of_object(value: Mapping[str, object]) -> list[object]:
    """What stands under the first known name, as in Karpathy's ``{"raw": "...", "sentid": 7}``; else the object."""
    by_name = {str(name).casefold(): said for name, said in reversed(list(value.items()))}
    name = next((name for name in CAPTION_COLUMNS if name in by_name), None)
    return [value] if name is None else captions_in(by_name[name])


def _answer(turns: Sequence[Mapping[str, object]]) -> object:
    """What the model says first."""
    for turn in turns:
        if str(turn.get("from", turn.get("role"))).casefold() in _ASSISTANTS:
            said = turn.get("value", turn.get("content"))
            if isinstance(said, list):  # of parts, texts among them
                said = next((part.get("text") for part in said if isinstance(part, Mapping) and "text" in part), None)
            return said
    raise Unusable("no_caption", "nobody answers in this conversation: there is no turn of gpt or assistant")


def _list(text: str) -> list[str]:
    """The texts of a list in the notation of JSON, Python or numpy, as tables of Flickr30k have it; else the text."""
    if not (text.endswith(("]", ")")) and len(text) <= _LONGEST_LIST):
        return [text]
    array = _NUMPY.fullmatch(text)
    inner = array[1] if array else text
    if not _OPENED.match(inner):
        return [text]
    try:
        found = json.loads(inner)
    except (ValueError, RecursionError):
        found = _python_list(inner)
    return found if found and all(isinstance(one, str) for one in found) else [text]


def _python_list(text: str) -> list[str] | None:
    """The texts between brackets; numpy writes no comma between them, which Python would join into one."""
    texts = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING:
                texts.append(ast.literal_eval(token.string))
            elif token.string.strip() not in ("", "[", "]", "(", ")", ","):
                return None
    except (ValueError, SyntaxError, tokenize.TokenError):
        return None
    return texts
