"""``--full`` also runs what takes minutes or needs more than a bare machine; else these tests are visible skips."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """A shell's background jobs ignore Ctrl-C, those of `nohup` a lost terminal, and hand that on; what is tested shall
    hear both."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run the tests marked `full`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--full"):
        return
    for item in items:
        if "full" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="run by make test-all"))
