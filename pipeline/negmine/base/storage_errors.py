"""What the errors of an object store's driver mean: whether one may pass, and what to tell the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from negmine.base.addresses import is_address, readable
from negmine.base.errors import NegmineError, ResourceError

_DRIVERS: Final = ("botocore", "aiobotocore", "aiohttp")
_NO_CREDENTIALS: Final = ("NoCredentialsError", "PartialCredentialsError")
_FINAL: Final = (*_NO_CREDENTIALS, "ParamValidationError")
_AGAIN: Final = "look at the storage and the network, then run the same command: it resumes"


def is_storage_error(error: BaseException) -> bool:
    """Drivers let errors of the libraries below them through."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _DRIVERS


def may_pass(error: Exception) -> bool:
    """Whether a request is worth another try: not when a file is missing or forbidden."""
    final = isinstance(error, FileNotFoundError | PermissionError | FileExistsError) or type(error).__name__ in _FINAL
    return is_storage_error(error) and not final


def explain(error: BaseException, where: str) -> NegmineError:
    """What a storage's error means for the user; nothing of the credentials."""
    text = readable(" ".join(str(error).split())) or type(error).__name__
    lower = text.lower()
    if "skew" in lower or "difference between the request time" in lower:
        return ResourceError(
            "the storage refuses this machine's clock",
            where=where,
            why=text,
            fix="set the clock (NTP), then run the same command",
        )
    if type(error).__name__ in _NO_CREDENTIALS:
        return ResourceError(
            "no credentials for this storage",
            where=where,
            why=text,
            fix="set them in the environment, e.g. AWS_PROFILE or AWS_ACCESS_KEY_ID",
        )
    if isinstance(error, PermissionError):
        return ResourceError(
            "the storage does not permit this",
            where=where,
            why=text,
            fix="check the credentials in the environment and what they may do there",
        )
    if isinstance(error, FileNotFoundError):
        return ResourceError(
            "this is not in the storage",
            where=where,
            why=text,
            fix="check the address; a bucket has to exist before it is used",
        )
    return ResourceError("the storage does not answer as it should", where=where, why=text, fix=_AGAIN)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """What the storage of an address refuses to other code of ours, which reads it through its driver.

    Raises:
        ResourceError: in place of the driver's error.
    """
    try:
        yield
    except Exception as error:
        if not is_address(where) or not is_storage_error(error):
            raise
        raise explain(error, where) from None
