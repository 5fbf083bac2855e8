"""The terms a recipe is made of. Each maps `Features` to a `Part`; adding one is a class and a line here.

A term that is `row_wise` can be taken rows at a time, one that is `small` has no matrix over the batch.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ahnpl.losses.clusters import Prototypes
from ahnpl.losses.distil import BatchKL, FeatureMSE
from ahnpl.losses.graded import GradedPositives
from ahnpl.losses.heads import CommonSalient, Gated, MultiHead
from ahnpl.losses.lists import (
    Dispreference,
    GradedList,
    PolicyGradient,
    RankerDistillation,
    SoftList,
    WassersteinList,
)
from ahnpl.losses.members import Members
from ahnpl.losses.positives import Positives
from ahnpl.losses.rank import PositiveMargin, Rank
from ahnpl.losses.row import Row

TERMS: dict[str, Callable[..., nn.Module]] = {
    "row": Row,
    "rank": Rank,
    "positive_margin": PositiveMargin,
    "members": Members,
    "positives": Positives,
    "feat_mse": FeatureMSE,
    "batch_kl": BatchKL,
    "graded_list": GradedList,
    "wasserstein": WassersteinList,
    "graded_positives": GradedPositives,
    "prototypes": Prototypes,
    "gated": Gated,
    "multi_head": MultiHead,
    "common_salient": CommonSalient,
    "soft_list": SoftList,
    "d2o": Dispreference,
    "ar2": RankerDistillation,
    "pg_rank": PolicyGradient,
}
