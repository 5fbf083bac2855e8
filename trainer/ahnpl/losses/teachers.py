"""What a recipe asks of a teacher; the training loop makes it and hands over its features."""

from __future__ import annotations

from dataclasses import dataclass

from negmine.base.errors import UsageError
from negmine.base.names import pick

KINDS = ("frozen", "ema", "lagged")


@dataclass(frozen=True)
class TeacherSpec:
    """A copy of the model that is never trained.

    Attributes:
        kind: ``frozen`` at the start; ``ema``: moving average of the weights; ``lagged``: copied every few steps.
        decay: of the average, W* <- decay W* + (1 - decay) W after each step.
        every: steps between copies.
    """

    kind: str
    decay: float = 0.9996
    every: int = 1000

    def __post_init__(self) -> None:
        pick("kind of teacher", self.kind, KINDS)
        if not 0 <= self.decay <= 1 or self.every < 1:
            raise UsageError("a teacher needs 0 <= decay <= 1 and every >= 1", why=f"{self.decay=}, {self.every=}")
