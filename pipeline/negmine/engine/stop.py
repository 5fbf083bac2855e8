"""Being asked to stop: the first time ends a run after the parts under way, the second time at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from negmine.base.console import STOPS, note
from negmine.base.errors import InterruptedRun


class Stop:
    """Whether the user or the scheduler asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        note("stopping after the parts under way; once more stops at once")

    def check(self) -> None:
        if self.requested:
            raise InterruptedRun("stopped as asked; what was finished is saved", fix="the same command resumes")


@contextmanager
def stop_request() -> Iterator[Stop]:
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()  # by nohup
    before = {number: signal.signal(number, stop.handle) for number in {signal.SIGINT, *STOPS} - ignored}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
