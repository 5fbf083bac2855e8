"""What the command lines take for a path: a place on this machine, or one in an object store where that will do.

However a place is written, it is the same place: relative, with ``.``, ``..``, ``~``, doubled or trailing slashes,
through links, as a ``file://`` URL. What lies there under a name is meant before what the name could mean as a pattern.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from negmine.base.addresses import is_address, is_web
from negmine.base.errors import UsageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_MAGIC = re.compile(r"[*?\[{]")
_MAGIC_ON_THE_WEB = re.compile(r"[*\[{]")
_WILD = re.compile(r"[*?\[]")
_NETLOC = re.compile(r"([\w+.-]+)://([^/?#]*)")
_LOGINS: Final = ("sftp", "ssh", "ftp", "smb", "hdfs")
"""Schemes of servers that are told a user's name; nowhere else does a name belong in an address."""


# --- one spelling ----------------------------------------------------------------------------------------------------


def local(text: str | Path) -> Path:
    """A path on this machine: as it is, but for ``~``, ``file://`` and ``..``, which leads where the system says.

    A ``file://`` URL is read letter by letter, as fsspec reads it: ``%20`` stands for itself.

    Raises:
        UsageError: it is empty, or no text.
    """
    text = str(text)
    for scheme in ("file://", "local://"):
        text = text.removeprefix(scheme)
    if not text:
        raise UsageError("this path is empty", fix="name a file or a folder; the one you are in is called .")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("this name is no UTF-8", where=repr(text), fix="rename it, or name it by a link") from None
    path = Path(os.path.expanduser(text))  # noqa: PTH111  names that begin with ~ and are no user's stay as they are
    if ".." not in path.parts:
        return path
    climbs = len(path.parts) - path.parts[::-1].index("..")
    return Path(*path.parts[:climbs]).resolve().joinpath(*path.parts[climbs:])


def address(text: str) -> str:
    """An address without credentials, which belong in the environment.

    Raises:
        UsageError: it holds some.
    """
    for found in _NETLOC.finditer(text):
        scheme, (user, at, host) = found[1], found[2].rpartition("@")
        port = host.rpartition("]")[2].partition(":")[2]
        if (at and (":" in user or scheme not in _LOGINS)) or not (port.isdigit() or not port):
            raise UsageError(
                "an address holds no credentials",
                where=f"{scheme}://***",
                fix="leave them out, and set them in the environment",
            )
    return text


# --- options ---------------------------------------------------------------------------------------------------------


def on_disk(text: str | Path) -> Path:
    """A path that cannot lie in an object store.

    Raises:
        UsageError: it is an address.
    """
    if is_address(str(text)):
        raise UsageError(
            "this must be on a disk, and is an address", where=str(text), fix="name a local path, and copy"
        )
    return local(text)


def pattern(text: str) -> str:
    """What a command only reads, perhaps several files by a pattern: a path, or an address as it is."""
    return address(text) if is_address(text) else str(local(text))


def source(text: str) -> str:
    """As `pattern`, and the same in every folder: a path is absolute."""
    return address(text) if is_address(text) else str(local(text).absolute())


def named(text: str, *prefixes: str) -> str:
    """A name, or a path in its place: one that is written with ``~``, ``..`` or ``file://``, or behind a prefix."""
    prefix = next((one for one in prefixes if text.startswith(one)), "")
    if prefix:
        return prefix + source(text.removeprefix(prefix))
    return str(local(text)) if text.startswith(("~", "file://", "local://")) or ".." in text.split("/") else text


def image_root(text: str) -> str:
    """The folder that images are named from, by the one name that later commands, run anywhere, find it under.

    Raises:
        UsageError: there is no such folder, or it is an address with a query.
    """
    if is_web(text) and "?" in text:
        raise UsageError(
            "names of images cannot be added to an address with a query",
            where=text,
            fix="copy the images, and name their folder",
        )
    if is_address(text):
        return address(text)
    root = local(text).resolve()
    if not root.is_dir():
        what = "this is no folder" if root.exists() else "there is no such folder"
        raise UsageError(f"{what} of images", where=str(root), fix="name it with --images")
    return str(root)


def option(path: Path | str) -> str:
    """A place as an argument of a command that somebody may type: quoted for the shell, and no option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


# --- patterns --------------------------------------------------------------------------------------------------------


def fixed_part(system: AbstractFileSystem, path: str) -> tuple[str, str]:
    """What a path surely names, and the pattern behind it: empty where all of it is there, or has no wildcard.

    Args:
        system: fsspec's file system.
        path: in it.
    """
    at, magic = 0, _MAGIC_ON_THE_WEB if is_web(path) else _MAGIC
    while found := magic.search(path, at):
        end = path.find("/", found.start())
        end = len(path) if end < 0 else end
        if not system.exists(path[:end]):
            slash = path.rfind("/", 0, found.start()) + 1
            return path[:slash], path[slash:]
        at = end
    return path, ""


def matches(system: AbstractFileSystem, path: str, *, some: bool = False) -> list[str]:
    """The files that a path or pattern names, each once, in the pattern's order.

    ``*``, ``?``, ``[...]`` and ``{00..07}`` make a pattern where nothing of that very name exists.

    Args:
        some: whether alternatives in braces may be missing; they are given all the same.

    Raises:
        UsageError: nothing is there, or nothing for one of the alternatives in braces.
    """
    from braceexpand import braceexpand

    folder, wild = fixed_part(system, path)
    try:
        alternatives = [folder + one for one in braceexpand(wild)]
    except ValueError:  # unbalanced braces are ordinary characters
        alternatives = [path]
    found: dict[str, None] = {}  # a set that keeps the order
    for alternative in alternatives:
        fixed, wild = fixed_part(system, alternative)
        names = sorted(system.glob(glob.escape(fixed) + wild)) if _WILD.search(wild) else [alternative]
        if not some and (not names or (names == [alternative] and not system.exists(alternative))):
            raise UsageError(
                "there is no such file",
                where=alternative,
                fix="check the path; a pattern needs quotes where the shell would expand it",
            )
        found |= dict.fromkeys(names)
    return list(found)
