"""What is asked of a place, on this disk or in an object store, and asked again while an error may pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Final, TypeVar

from negmine.base.addresses import is_address
from negmine.base.console import note
from negmine.base.errors import UsageError
from negmine.base.storage_errors import explain, is_storage_error, may_pass
from negmine.store.places import address, local

if TYPE_CHECKING:
    import stamina
    from fsspec import AbstractFileSystem
    from stamina.instrumentation import RetryDetails

T = TypeVar("T")

ATTEMPTS: Final = 10
"""Tries of one request, with growing pauses: half a minute in all, which a server needs to start again."""


def retrying(attempts: int = ATTEMPTS) -> Iterable[stamina.Attempt]:
    """Tries of a request, as long as its error may pass."""
    import stamina

    tell_of_retries()
    return stamina.retry_context(on=may_pass, attempts=attempts, timeout=None, wait_max=5.0)


@cache
def tell_of_retries() -> None:
    """Once a process: in our words in place of stamina's log lines."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([_tell])


def _tell(details: RetryDetails) -> None:
    """One slip of a storage is nothing to speak of; of other servers those tell who ask them."""
    if details.retry_num > 1 and is_storage_error(details.caused_by):
        why = " ".join(str(details.caused_by).split()) or type(details.caused_by).__name__
        note(f"the storage does not answer as it should; again in {details.wait_for:.1f} s: {why[:_SHOWN]}")


_SHOWN: Final = 200


def request(what: Callable[[], T], where: str) -> T:
    """The result of a request, tried again while its error may pass.

    Raises:
        ResourceError: it does not pass.
    """
    try:
        for attempt in retrying():
            with attempt:
                return what()
    except FileExistsError:
        raise
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise explain(error, where) from None
    raise AssertionError("a request ends in a result or an error")


def file_system(place: str, *, fresh: bool = True) -> tuple[AbstractFileSystem, str]:
    """The fsspec file system of a place, and the path in it: absolute on this disk.

    Args:
        fresh: it keeps no listings, so that what others write is seen.

    Raises:
        UsageError: no such protocol, its driver is not installed, or credentials in the address.
    """
    if not is_address(place):
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(), str(local(place).absolute())
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address(place), **({"use_listings_cache": False} if fresh else {}))
    except ImportError as error:
        fix = "pip install 'negmine[s3]'" if place.startswith(("s3://", "s3a://")) else "install what it asks for"
        raise UsageError(
            "the driver for such addresses is not installed", where=place, why=str(error), fix=fix
        ) from None
    except ValueError as error:
        raise UsageError(
            "this kind of address is not known",
            where=place,
            why=str(error),
            fix="name a path on this disk, or s3://, gs://, hf://, https://",
        ) from None
    return system, str(path)
