"""The terms a recipe is made of. Each maps `Features` to a `Part`; adding one is a class and a line here."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ahnpl.losses.distil import BatchKL, FeatureMSE
from ahnpl.losses.lists import Dispreference, PolicyGradient, RankerDistillation, SoftList
from ahnpl.losses.members import Members
from ahnpl.losses.rank import PositiveMargin, Rank
from ahnpl.losses.row import Row

TERMS: dict[str, Callable[..., nn.Module]] = {
    "row": Row,
    "rank": Rank,
    "positive_margin": PositiveMargin,
    "members": Members,
    "feat_mse": FeatureMSE,
    "batch_kl": BatchKL,
    "soft_list": SoftList,
    "d2o": Dispreference,
    "ar2": RankerDistillation,
    "pg_rank": PolicyGradient,
}
