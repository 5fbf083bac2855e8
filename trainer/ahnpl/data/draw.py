"""Which K of a sample's negatives a batch takes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log

from negmine.contract.records import TextNegative


@dataclass(frozen=True)
class Draw:
    """How K of a sample's negatives are drawn where it has more.

    Attributes:
        kinds: weight of a kind; 1 where it is not named. A kind of weight 0 is never used.
        difficulty: d in the first and in the last epoch, linear between. Among the sample's negatives that have a
            score, the weight is ``exp(d * r)``, r from -1 for the easiest (lowest score) to 1 for the hardest.
    """

    kinds: Mapping[str, float] = field(default_factory=dict)
    difficulty: tuple[float, float] = (0.0, 0.0)
    epochs: int = 1

    def pick(
        self, negatives: Sequence[TextNegative], number: int, epoch: int, chance: random.Random
    ) -> list[TextNegative]:
        """At most `number` of them, without replacement (Efraimidis and Spirakis 2006)."""
        if not self.kinds and self.difficulty == (0.0, 0.0):
            return chance.sample(negatives, min(number, len(negatives)))
        first, last = self.difficulty
        d = first + (last - first) * min(epoch / max(self.epochs - 1, 1), 1.0)
        ranked = sorted(negative.score for negative in negatives if negative.score is not None)
        keys = {}
        for negative in negatives:
            weight = self.kinds.get(negative.kind, 1.0)
            if negative.score is not None and len(ranked) > 1:
                weight *= exp(d * (2 * ranked.index(negative.score) / (len(ranked) - 1) - 1))
            drawn = chance.random()
            if weight > 0:
                keys[negative] = log(1 - drawn) / weight  # 0 at most; the largest are taken
        return sorted(keys, key=lambda negative: -keys[negative])[:number]
