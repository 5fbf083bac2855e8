"""The words of a command line, before typer reads them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from negmine.base.errors import UsageError
from negmine.contract.training_runs import RENAMED
from typer.core import TyperCommand


class GreedyCommand(TyperCommand):
    """A command whose options of several values take every word up to the next option: ``--shards data/*.tar``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # a context of the Click that typer brings
        refuse_old_names(args, {name for one in self.params for name in one.opts})
        greedy = {name for one in self.params if getattr(one, "multiple", False) for name in one.opts}
        return super().parse_args(ctx, spread(args, greedy))


def spread(words: list[str], greedy: Collection[str]) -> list[str]:
    """Repeat a greedy option before each of its words: ``--shards a b`` becomes ``--shards a --shards b``."""
    spreading, after, out = None, 0, list[str]()
    for word in words:
        if word.startswith("-"):
            spreading, after = (word if word in greedy else None), 0
        elif spreading:
            after += 1
            if after > 1:
                out.append(spreading)
        out.append(word)
    return out


def refuse_old_names(words: list[str], options: Collection[str]) -> None:
    """Stop at an option that has another name now, of those that the command has.

    Raises:
        UsageError: with that name.
    """
    now = {f"--{before}": f"--{after.replace('_', '-')}" for before, after in RENAMED.items()}
    for word in words:
        name = now.get(word.partition("=")[0])
        if name in options:
            raise UsageError(f"{word.partition('=')[0]} has another name now", fix=f"write {name}")
