"""Denominators: how a row's positive is set against its candidates. Each maps `Logits` to ``[B]`` losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from negmine.base.errors import UsageError
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses.kernel import Logits, log_count, row_losses
from ahnpl.losses.sorting import sort_losses


class Softmax(nn.Module):
    """InfoNCE. With smoothing, `label_smoothing` of the target is spread evenly over positive and candidates."""

    row_wise = True

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Logits) -> Tensor:
        losses = row_losses(logits.positive, logits.candidates)
        if not self.label_smoothing:
            return losses
        total = losses + logits.positive  # logsumexp over all
        others = torch.where(logits.mask, total[:, None] - logits.negatives, 0).sum(dim=1)
        even = (losses + others) / (1 + logits.mask.sum(dim=1))
        return (1 - self.label_smoothing) * losses + self.label_smoothing * even


class Decoupled(nn.Module):
    """DCL: the positive is not in the denominator (arXiv 2110.06848). Rows without a candidate are left out."""

    def forward(self, logits: Logits) -> Tensor:
        return row_losses(logits.positive, logits.candidates, include_positive=False)


class Mean(nn.Module):
    """cMIM: the mean of the candidates' exponentials, so that their number does not matter."""

    row_wise = True

    def forward(self, logits: Logits) -> Tensor:
        return row_losses(logits.positive, logits.candidates - log_count(logits.mask).to(logits.negatives.dtype))


class Debiased(nn.Module):
    """Debiased contrastive loss (joshr17/HCL 7b4647f): a share `tau_plus` of the candidates is taken to be true.

    ``Ng = max((sum_j w_j e^n_j - tau_plus M e^p) / (1 - tau_plus), M e^-s)`` in log space. Candidates that are false
    by construction join outside of the correction.
    """

    row_wise = True

    def __init__(self, *, tau_plus: float = 0.1) -> None:
        super().__init__()
        if not 0 <= tau_plus < 1:
            raise UsageError(f"tau_plus is {tau_plus}, it must be at least 0 and below 1")
        self.tau_plus = tau_plus

    def forward(self, logits: Logits) -> Tensor:
        if not self.tau_plus:
            return row_losses(logits.positive, logits.candidates)
        guessed = logits.candidates.masked_fill(logits.trusted, -torch.inf)
        certain = logits.candidates.masked_fill(~logits.trusted, -torch.inf)
        count = (logits.mask & ~logits.trusted).sum(dim=1)
        log_m = count.clamp_min(1).to(guessed.dtype).log()
        there = count > 0
        log_sum = guessed.masked_fill(~there[:, None], 0).logsumexp(dim=1)
        hidden = log_m + logits.positive + torch.tensor(self.tau_plus, dtype=guessed.dtype).log()
        gap = hidden - log_sum
        left = gap < -1e-6
        rest = log_sum + torch.log1p(-torch.exp(torch.where(left, gap, -1.0)))
        rest = rest - torch.log1p(torch.tensor(-self.tau_plus, dtype=guessed.dtype))
        floor = log_m - logits.scale
        log_ng = torch.where(left, torch.maximum(rest, floor), floor)
        log_ng = torch.where(there, log_ng, -torch.inf)
        return row_losses(logits.positive, torch.cat([log_ng[:, None], certain], dim=1))


class Pairwise(nn.Module):
    """Each candidate by itself: mean of ``softplus(n - p)``."""

    row_wise = True

    def forward(self, logits: Logits) -> Tensor:
        losses = F.softplus(logits.candidates.masked_fill(~logits.mask, 0) - logits.positive[:, None])
        return torch.where(logits.mask, losses, 0).sum(dim=1) / logits.mask.sum(dim=1).clamp_min(1)


class Hinge(nn.Module):
    """Mean of ``relu(margin + n - p)``, margin in logit units."""

    row_wise = True

    def __init__(self, *, margin: float = 1.0) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, logits: Logits) -> Tensor:
        losses = (self.margin + logits.negatives - logits.positive[:, None]).relu()
        return torch.where(logits.mask, losses, 0).sum(dim=1) / logits.mask.sum(dim=1).clamp_min(1)


class Sigmoid(nn.Module):
    """SigLIP's loss inside the row: ``sum_k -log sigmoid(y (s cos + b))`` over the positive and its candidates.

    b is the model's own bias where it has one, as SigLIP's have. Over the batch it is open_clip's ``SigLipLoss``. The
    released MMCLIP code trains its image side so (THU-KEG/MMGeoLM 021e1ef); its bias starts at a random number.

    Args:
        bias: b at the start for models without one; learned.
    """

    row_wise, reads_bias = True, True

    def __init__(self, *, bias: float = -10.0) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, logits: Logits) -> Tensor:
        bias = self.bias if logits.bias is None else logits.bias
        negative = torch.where(logits.mask, F.softplus(logits.negatives + bias), 0)
        return F.softplus(-logits.positive - bias) + negative.sum(dim=1)


class Asymmetric(nn.Module):
    """ASL over one positive and its candidates, as CQ-DINO uses it (RedAIGC/CQ-DINO 6c8e60f).

    ``-(1-p)^g+ log p`` and ``-(1-p_m)^g- log p_m`` with ``p_m = min(1 - p + clip, 1)``; focusing weights carry no
    gradient. Mean over rows, not the reference's sum, which ties the weight to the batch. The bias as in `Sigmoid`.
    """

    row_wise, reads_bias = True, True

    def __init__(
        self, *, gamma_negative: float = 7.0, gamma_positive: float = 0.0, clip: float = 0.05, bias: float = -10.0
    ) -> None:
        super().__init__()
        self.gamma_negative, self.gamma_positive, self.clip = gamma_negative, gamma_positive, clip
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, logits: Logits) -> Tensor:
        bias = self.bias if logits.bias is None else logits.bias
        positive, negative = logits.positive + bias, logits.negatives + bias
        focus = (1 - positive.detach().sigmoid()) ** self.gamma_positive
        kept = ((-negative).sigmoid() + self.clip).clamp_max(1)
        loss = -kept.log() if self.clip else F.softplus(negative)
        loss = loss * (1 - kept.detach()) ** self.gamma_negative
        return focus * F.softplus(-positive) + torch.where(logits.mask, loss, 0).sum(dim=1)


class Sorting(nn.Module):
    """GroCo: the positive must come after the `k` hardest candidates in a differentiable sorting network
    (ninatu/learning_by_sorting 47c074e)."""

    row_wise = True

    def __init__(self, *, k: int = 10, steepness: float = 1.0) -> None:
        super().__init__()
        if k < 1:
            raise UsageError("sorting needs at least two things to sort", why=f"k is {k}", fix="set k to 1 or more")
        self.k, self.steepness = k, steepness

    def forward(self, logits: Logits) -> Tensor:
        filled = torch.where(logits.mask, logits.negatives, -logits.scale)  # a cosine of -1, as -inf has no gradient
        hardest = filled.topk(min(self.k, filled.shape[1]), dim=1).values.flip(1)
        losses = sort_losses(hardest, logits.positive[:, None], self.steepness)
        return torch.where(logits.kept, losses, 0)


class Expectation(nn.Module):
    """CACR: attraction by the expected cost of positives, repulsion by that of candidates (JegZheng/CACR-SSL fbc9d94).

    Costs are ``2 - 2 cos``; positives are the pair and the other captions of its image in the batch. Farther
    positives and closer candidates weigh more: ``softmax(t+ c)``, ``softmax(-t- c)``, detached.
    """

    row_wise = True

    def __init__(
        self, *, t_positive: float = 1.0, t_negative: float = 1.0, attraction: float = 1.0, repulsion: float = 1.0
    ) -> None:
        super().__init__()
        self.t_positive, self.t_negative = t_positive, t_negative
        self.attraction, self.repulsion = attraction, repulsion

    def forward(self, logits: Logits) -> Tensor:
        cost = 2 - 2 * logits.negatives / logits.scale
        near = torch.cat([2 - 2 * logits.positive[:, None] / logits.scale, cost], dim=1)
        truths = torch.cat([torch.ones_like(logits.mask[:, :1]), logits.same], dim=1)
        false = logits.mask & ~logits.same
        pull = (self.t_positive * near.detach()).masked_fill(~truths, -torch.inf).softmax(dim=1)
        there = false.any(dim=1)
        push = (logits.log_weight - self.t_negative * cost.detach()).masked_fill(~false, -torch.inf)
        push = torch.where(there[:, None], push, 0).softmax(dim=1)
        losses = self.attraction * (pull * near).sum(dim=1) - self.repulsion * (push * cost).sum(dim=1)
        return torch.where(there, losses, 0)


DENOMINATORS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "softmax": Softmax,
        "decoupled": Decoupled,
        "mean": Mean,
        "debiased": Debiased,
        "pairwise": Pairwise,
        "hinge": Hinge,
        "sigmoid": Sigmoid,
        "asl": Asymmetric,
        "sorting": Sorting,
        "expectation": Expectation,
    }
)
