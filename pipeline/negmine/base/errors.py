"""Everything that can go wrong for a user, each with its exit status.

A message answers four questions: *what* happened, *where* (file, row, key), *why*, and *what to do*. The command
line prints it without a traceback; a traceback therefore always means a bug in negmine.
"""

from __future__ import annotations

import errno
import sys
from enum import IntEnum

from negmine.base.addresses import readable


class Exit(IntEnum):
    """Exit statuses of every command."""

    DONE = 0
    BUG = 1
    USAGE = 2
    BAD_INPUT = 3
    DAMAGED = 4
    RESOURCE = 5
    INTERRUPTED = 130


class NegmineError(Exception):
    """An error with an explanation for the user.

    Args:
        what: one sentence, no full stop needed.
        where: file, row, key or shard.
        why: the cause, where it is known.
        fix: the next thing to do.
    """

    status = Exit.BUG

    def __init__(self, what: str, *, where: str | None = None, why: str | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix = what, where, why, fix

    def __str__(self) -> str:
        lines = [self.what]
        lines += [
            f"  {label}: {text}" for label, text in (("where", self.where), ("why", self.why), ("do", self.fix)) if text
        ]
        return readable("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.why, self.fix)


def _rebuild(kind: type[NegmineError], what: str, where: str, why: str, fix: str) -> NegmineError:
    return kind(what, where=where, why=why, fix=fix)


class UsageError(NegmineError):
    """The command was called wrongly: a missing file, an unknown name, options that exclude each other."""

    status = Exit.USAGE


class InputError(NegmineError):
    """The input cannot be used, or more of it is bad than ``--max-bad`` allows."""

    status = Exit.BAD_INPUT


class DamagedError(NegmineError):
    """A store, shard or checkpoint is damaged, or was made with other settings."""

    status = Exit.DAMAGED


class ResourceError(NegmineError):
    """Disk, memory, a GPU or a lock could not be had."""

    status = Exit.RESOURCE


class InterruptedRun(NegmineError):
    """Stopped by the user or the scheduler; what was finished is saved."""

    status = Exit.INTERRUPTED


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch says so for a GPU by a type of its own, for a CPU by its allocator's words."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def explain_os_error(error: OSError, where: str) -> NegmineError:
    """Turn an operating system's refusal to write into an error a user can act on."""
    if error.errno in OUT_OF_SPACE:
        return ResourceError(
            "no space left to write",
            where=where,
            why=str(error.strerror),
            fix="free some space or choose another folder, then run the same command: it resumes",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(
            "no permission to write",
            where=where,
            why=str(error.strerror),
            fix="choose a folder you may write to, or change its permissions",
        )
    return ResourceError(
        "could not read or write",
        where=where,
        why=str(error.strerror or error),
        fix="check the path and the disk, then run the same command: it resumes",
    )
