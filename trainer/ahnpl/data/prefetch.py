"""An iterator that runs ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterate in a thread, a few items ahead; errors of the thread are raised to the one who asks."""

    def __init__(self, items: Iterator[T], depth: int) -> None:
        self._items, self._ready = items, queue.Queue[tuple[T] | Exception](depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Iterator[T]:
        self._thread.start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            _drain(self._ready)
            self._thread.join(0.05)

    def _run(self) -> None:
        try:
            for item in self._items:
                if self._stop.is_set():
                    return
                self._ready.put((item,))
            self._ready.put(StopIteration())
        except Exception as error:  # noqa: BLE001 (handed to the consumer, who raises it)
            self._ready.put(error)

    def _take(self) -> Iterator[T]:
        while True:
            found = self._ready.get()
            if isinstance(found, StopIteration):
                return
            if isinstance(found, Exception):
                raise found
            yield found[0]


def _drain(ready: queue.Queue[tuple[T] | Exception]) -> None:
    while not ready.empty():
        ready.get_nowait()
