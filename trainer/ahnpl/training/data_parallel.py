"""A model whose gradients the ranks average, and what stands in the way of that."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from negmine.base.errors import UsageError
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ahnpl.model.clip import ClipModel
from ahnpl.model.ranks import Ranks
from ahnpl.model.sharded import shard
from ahnpl.training.memory import trial_batch


def distributed(model: ClipModel, ranks: Ranks, *, reads_bias: bool = False, fsdp: bool = False) -> nn.Module:
    """The model as it is trained by several processes together: each backward pass sums their gradients.

    Args:
        reads_bias: whether the loss reads the model's logit bias.
        fsdp: each process keeps a part of the weights; else all of them.

    Raises:
        UsageError: batch normalisation on a CPU, where no process sees the others' images.
    """
    if ranks.count == 1:
        return model
    if normalises_over_batch(model):
        if model.mean.device.type == "cpu":
            raise UsageError(
                "this model normalises over the batch, and on a CPU no process sees the others' images",
                fix="use one process, --lock image, or a model without batch normalisation",
            )
        model.network = convert_sync_batchnorm(model.network)  # type: ignore[no-untyped-call]
    freeze_unreached(model, reads_bias=reads_bias)
    if fsdp:
        ranks.share(model)
        shard(model, ranks.count, model.mean.device)
        return model
    towers = DistributedDataParallel(model, gradient_as_bucket_view=True)
    towers.register_comm_hook(None, lambda _, bucket: _sum(bucket))
    return towers


def _sum(bucket: Any) -> torch.futures.Future[Tensor]:
    """In place of the average: what comes back from `Ranks.gather` is a rank's part of the gradient."""
    sent = dist.all_reduce(bucket.buffer(), async_op=True)
    assert sent is not None
    return sent.get_future().then(lambda done: done.value()[0])


def normalises_over_batch(model: nn.Module) -> bool:
    """Whether what a module gives for a sample depends on the others of its batch."""
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


def freeze_unreached(model: ClipModel, *, reads_bias: bool) -> None:
    """Fix weights that the loss does not depend on, such as CoCa's decoder, or SigLIP's bias beside a softmax: no
    gradient comes for them, and processes would wait for it."""
    was_training = model.training
    model.eval()  # leaves running statistics alone
    with torch.compiler.set_stance("force_eager"):
        found = model(trial_batch(model, 0, 0))
        read = [found.image, found.text, found.logit_scale]
        if reads_bias and found.logit_bias is not None:
            read.append(found.logit_bias)
        torch.autograd.backward([tensor.sum() for tensor in read if tensor.requires_grad])  # a locked tower's does not
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    model.train(was_training)
