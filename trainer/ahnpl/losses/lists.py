"""Terms over a sample's own list: its caption first, then its K negatives."""

from __future__ import annotations

import torch
from negmine.base.errors import UsageError
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part


def own_list(features: Features) -> tuple[Tensor, Tensor]:
    """``[B, 1 + K]`` logits of the image with its caption and own negatives, and which of them exist."""
    own = sets.own(features, "i2t")
    positive = (features.image * features.text).sum(dim=1, keepdim=True)
    logits = features.logit_scale * torch.cat([positive, own.cosines(features.image)], dim=1)
    return logits, torch.cat([own.mask.new_ones(len(own.mask), 1), own.mask], dim=1)


def teacher_list(features: Features) -> Tensor:
    """``[B, 1 + K]`` cosines of the teacher for the same list, detached."""
    image, text = features.teacher("image"), features.teacher("text")
    negatives = torch.einsum("bd,bkd->bk", image, features.teacher("text_negatives"))
    return torch.cat([(image * text).sum(dim=1, keepdim=True), negatives], dim=1)


def log_shares(logits: Tensor, there: Tensor) -> Tensor:
    """Logarithms of the softmax of a list over what exists of it, 0 elsewhere."""
    return torch.where(there, logits.masked_fill(~there, -torch.inf).log_softmax(dim=1), 0)


class SoftList(nn.Module):
    """LG-ANNA's soft labels, a reconstruction: ``KL(softmax(teacher cos / temperature) || softmax(own list))``.

    A sample without negatives costs 0.
    """

    small = True
    needs_negatives, needs_image_negatives, needs_teacher = True, False, True

    def __init__(self, *, temperature: float = 0.05) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: Features) -> Part:
        logits, there = own_list(features)
        target = (teacher_list(features) / self.temperature).masked_fill(~there, -torch.inf).softmax(dim=1)
        return Part(F.kl_div(log_shares(logits, there), target, reduction="batchmean"))


class Dispreference(nn.Module):
    """D2O as a term on features, an adaptation: own negatives fall relative to a frozen reference.

    ``mean -log sigmoid(beta rho(caption) - alpha rho(negative))``, ``rho = s cos - s* cos*``; log 2 at the reference.
    """

    small = True
    needs_negatives, needs_image_negatives, needs_teacher = True, False, True

    def __init__(self, *, alpha: float = 0.1, beta: float = 0.1) -> None:
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def forward(self, features: Features) -> Part:
        logits, there = own_list(features)
        scale = features.logit_scale if features.teacher_logit_scale is None else features.teacher_logit_scale
        rho = logits - scale.detach() * teacher_list(features)
        losses = F.softplus(self.alpha * rho[:, 1:] - self.beta * rho[:, :1])
        valid = there[:, 1:]
        return Part(torch.where(valid, losses, 0).sum() / valid.sum().clamp_min(1))


class RankerDistillation(nn.Module):
    """AR2's retriever step with the teacher as its ranker (microsoft/AR2 c8df937), both parts means over the batch.

    ``(1 - share) L_n + share L_a``: ``L_n = -sum rho log pi``, and ``L_a = sum_k r_k log pi_k`` over negatives, with
    the detached reward ``r_k = -softplus(score_k - score_positive)``.
    """

    small = True
    needs_negatives, needs_image_negatives, needs_teacher = True, False, True

    def __init__(self, *, share: float = 0.5, temperature: float = 0.02) -> None:
        super().__init__()
        self.share, self.temperature = share, temperature

    def forward(self, features: Features) -> Part:
        logits, there = own_list(features)
        scores = teacher_list(features) / self.temperature
        target = scores.masked_fill(~there, -torch.inf).softmax(dim=1)
        ours = log_shares(logits, there)
        reward = -F.softplus(scores[:, 1:] - scores[:, :1])
        adversarial = (reward * ours[:, 1:]).sum(dim=1)
        return Part((self.share * adversarial - (1 - self.share) * (target * ours).sum(dim=1)).mean())


class PolicyGradient(nn.Module):
    """PG-RANK, from memory: rankings of the own list drawn from a Plackett-Luce policy, rewarded by where the caption
    lands (its nDCG), REINFORCE with the mean of the other draws as the baseline.

    Args:
        draws: rankings a row, 2 or more.
    """

    small = True
    needs_negatives, needs_image_negatives = True, False

    def __init__(self, *, draws: int = 16) -> None:
        super().__init__()
        if draws < 2:
            raise UsageError(f"pg_rank draws {draws} rankings", why="the other draws are its baseline", fix="2 or more")
        self.draws = draws

    def forward(self, features: Features) -> Part:
        logits, there = own_list(features)
        scores = logits.masked_fill(~there, -torch.inf)[:, None].expand(-1, self.draws, -1)
        noise = -torch.empty_like(scores).exponential_().log()
        order = (scores.detach() + noise).argsort(dim=2, descending=True)
        place = (order == 0).to(scores.dtype).argmax(dim=2)
        reward = 1 / (place + 2).to(scores.dtype).log2()
        advantage = (reward - reward.mean(dim=1, keepdim=True)) * self.draws / (self.draws - 1)
        ranked, exists = scores.gather(2, order), there[:, None].expand_as(scores).gather(2, order)
        filled = ranked.masked_fill(~exists, -1e9)  # missing ones come last: finite, and without weight
        chances = filled - filled.flip(2).logcumsumexp(dim=2).flip(2)
        log_policy = torch.where(exists, chances, 0).sum(dim=2)
        return Part(-(advantage * log_policy).mean())


class GradedList(nn.Module):
    """List-wise cross-entropy of graded relevance, less the grades' entropy: 0 where the list has the grades' shares.

    Args:
        caption, negative: grades. A false caption is nearer than a stranger, and false.
        temperature: of the grades.
    """

    small = True
    needs_negatives, needs_image_negatives = True, False

    def __init__(self, *, caption: float = 3.0, negative: float = 2.0, temperature: float = 0.2) -> None:
        super().__init__()
        self.caption, self.negative, self.temperature = caption, negative, temperature

    def forward(self, features: Features) -> Part:
        logits, there = own_list(features)
        grades = torch.full_like(logits, self.negative)
        grades[:, 0] = self.caption
        target = (grades / self.temperature).masked_fill(~there, -torch.inf).softmax(dim=1)
        return Part(F.kl_div(log_shares(logits, there), target, reduction="batchmean"))


def wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of the Gaussians with the means and covariances of the rows of two ``[B, n]``.

    The trace of the root is the nuclear norm of a ``[B, B]`` product, in float64 (BatsResearch/sycl ce15a94 takes
    complex eigenvalues of an ``[n, n]`` one).
    """
    x, y = x.double(), y.double()
    a, b = x - x.mean(dim=0), y - y.mean(dim=0)
    root: Tensor = torch.linalg.svdvals(a @ b.T).sum()
    means = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    return means + (a.square().sum() + b.square().sum() - 2 * root) / len(x)


class WassersteinList(nn.Module):
    """SyCL: the shares that images give to all captions and negatives of the batch, against those of their grades.

    Whose row is whose does not matter to it, so it is refused without a term that knows. Other captions of the own
    image have no share.

    Args:
        caption, negative: grades; strangers have 0.
    """

    needs_negatives, needs_image_negatives = True, False

    def __init__(self, *, caption: float = 3.0, negative: float = 2.0) -> None:
        super().__init__()
        self.caption, self.negative = caption, negative

    def forward(self, features: Features) -> Part:
        found, valid = sets.negatives(features, "i2t")
        batch, slots = valid.shape
        logits = features.logit_scale * features.image @ torch.cat([features.text, found.flatten(0, 1)]).T
        eye = torch.eye(batch, dtype=logits.dtype, device=logits.device)
        grades = torch.cat([self.caption * eye, self.negative * eye.repeat_interleave(slots, dim=1)], dim=1)
        same = sets.of_own_image(features) & ~sets.itself_only(features)
        there = torch.cat([~same, valid.flatten().expand(batch, -1)], dim=1)
        ours, theirs = (scores.masked_fill(~there, -torch.inf).softmax(dim=1) for scores in (logits, grades))
        return Part(wasserstein(ours, theirs).to(logits.dtype))
