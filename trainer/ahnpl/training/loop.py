"""The training loop: `Trainer.train_step` is one step, `Trainer.fit` all of them, `train` a run from its plan on."""

from __future__ import annotations

import math
import threading
from collections import ChainMap, Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from negmine.base.console import note
from negmine.base.errors import InputError, InterruptedRun
from negmine.store import locked
from torch import Tensor

from ahnpl.data.batch import Batch, Legible
from ahnpl.data.shards import ShardSet
from ahnpl.data.workers import explained
from ahnpl.evaluation.run import Report
from ahnpl.losses import LossOut
from ahnpl.model import checkpoint as ckpt
from ahnpl.model.clip import load_checkpoint
from ahnpl.model.sharded import is_sharded
from ahnpl.training import evaluation
from ahnpl.training.config import describe
from ahnpl.training.curves import draw_curves
from ahnpl.training.ema import EmaModel, Teacher
from ahnpl.training.finite import Unseen, UnseenStep
from ahnpl.training.meter import Meter, numbers_of
from ahnpl.training.mfu import FlopMeter
from ahnpl.training.objective import Objective
from ahnpl.training.optimise import clip_gradients, learning_rate, make_optimiser, set_learning_rate
from ahnpl.training.plan import Plan, make_model, make_stream
from ahnpl.training.process import products_rounded, stop_on_signals, sums_in_one_order
from ahnpl.training.resume import starting_point
from ahnpl.training.state import TrainState, restore_state, snapshot
from ahnpl.training.track import JsonLines, Terminal, Tracker, open_trackers

MAX_LOG_SCALE = math.log(100)
MANY_ALIKE = 1.0
"""Percent of negatives that may read as true captions without a word to the user."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        steps: optimiser steps done in all; `resumed` of them by earlier runs.
        seconds: of training in this run, evaluation and start-up not counted.
        samples: trained on in this run.
        bad: samples left out in this run, by what is wrong with them.
        passed_over: images of tars that a sidecar knows nothing of, by tar that was read to its end.
        legible: of the negatives seen in this run, how many the model can tell from true captions.
        report: the last evaluation; None without ``eval_shards``.
        checkpoint: the last one.
    """

    steps: int
    resumed: int
    seconds: float
    samples: int
    bad: Counter[str]
    passed_over: dict[str, int]
    legible: Legible
    report: Report | None
    checkpoint: Path
    curves: Path | None


def train(plan: Plan, *, overwrite: bool = False) -> TrainResult:
    """Train to the end, from where an earlier run of the same settings stopped.

    Args:
        overwrite: remove what an earlier run left in the folder.

    Raises:
        DamagedError: the folder holds a run with other settings.
        ResourceError: another process is writing to the folder, the disk is full, or a decode worker died.
        InterruptedRun: one of `STOP_SIGNALS`; the step under way was finished and saved.
        InputError: the loss is not finite, or too many samples are bad.
    """
    folder, ranks = Path(plan.config.out), plan.ranks
    with ExitStack() as stack:
        stack.enter_context(ranks.joined(plan.device))
        stack.enter_context(sums_in_one_order(plan.device, on_gpu=plan.config.deterministic))
        stack.enter_context(products_rounded(plan.config.matmul_precision))
        ranks.first_does(lambda: stack.enter_context(locked(folder)))
        start = ranks.first_does(lambda: starting_point(plan, folder, overwrite))
        trainer = Trainer(plan, stack.enter_context(stop_on_signals()))
        stack.callback(trainer.stream.close)
        stack.enter_context(explained())
        if start is not None:
            restore_state(trainer.state, plan, start)
        resumed = trainer.state.step
        ranks.share(plan.loss)
        if ranks.first:
            ckpt.write_json(folder / "run.json", {"config": describe(plan.config), "settings": plan.settings})
            for tracker in _open_trackers(plan, resumed):
                trainer.trackers.append(tracker)
                stack.callback(tracker.close)
        if start is None:
            trainer.evaluate()  # where the curve begins
        trainer.fit()
        last = trainer.save()
        meter, curves = trainer.meter, draw_curves(folder) if ranks.first else None
        return TrainResult(
            trainer.state.step,
            resumed,
            meter.seconds,
            meter.samples,
            sum(ranks.collect([meter.bad]), Counter()),
            dict(ChainMap(*ranks.collect([trainer.stream.passed_over]))),
            sum(ranks.collect([meter.legible]), Legible()),
            trainer.report,
            last,
            curves,
        )


def _open_trackers(plan: Plan, resumed: int) -> list[Tracker]:
    folder = Path(plan.config.out)
    asked = open_trackers(plan.config.track, folder, plan.settings, resumed)
    return [JsonLines(folder, resumed), Terminal(plan.steps), *asked]


class Trainer:
    """A run under way.

    Args:
        stop: set when this process was told to stop.

    Attributes:
        state: what learns.
        objective: what it learns.
        stream: what it learns from.
        meter: what is counted on the way.
        trackers: where numbers go; none but on the first rank.
        report: the last evaluation.
        stopped: whether all ranks have agreed to stop.
    """

    def __init__(self, plan: Plan, stop: threading.Event) -> None:
        self.plan, self.folder, self.stop = plan, Path(plan.config.out), stop
        config, model, loss = plan.config, make_model(plan).train(), plan.loss.to(plan.device).train()
        teacher = None if loss.teacher is None else Teacher(model, loss.teacher)  # copies are made of whole weights
        average = EmaModel(model, config.ema) if config.ema else None
        self.objective = Objective(  # it fixes weights that no feature depends on: the optimiser comes after it
            model,
            loss,
            teacher=teacher,
            ranks=plan.ranks,
            grad_cache_chunks=config.grad_cache_chunks,
            local_loss=config.local_loss,
            fsdp=config.fsdp,
            loss_rows=config.loss_rows,
            precision=plan.precision,
            seed=config.seed,
        )
        self.highest_scale = max(MAX_LOG_SCALE, float(model.logit_scale.detach()))  # SigLIP's begin above 100
        self.state = TrainState(
            model=model,
            loss=loss,
            optimiser=make_optimiser(
                {"model": model.network, "loss": loss},
                config.weight_decay,
                betas=(config.beta1, config.beta2),
                eps=config.eps,
                scales={"loss": config.loss_lr_scale},
            ),
            scaler=torch.amp.GradScaler(plan.device.type, enabled=plan.precision == "fp16"),
            average=average,
            teacher=teacher,
        )
        self.stream = make_stream(plan, model)
        self.meter = Meter(FlopMeter(plan.device, plan.precision))
        self.trackers: list[Tracker] = []
        self.report: Report | None = None
        self.stopped = False
        self._saved, self._unseen = 0, Unseen()
        self._buffers: list[dict[str, Tensor]] | None = None  # of the last step; None while weights move

    def fit(self) -> None:
        """Train until the last step: epoch after epoch, each scored and saved at its end.

        Whatever else ends it, such as memory that is short, the last step is saved.

        Raises:
            InterruptedRun: told to stop before the last step, which was saved.
        """
        self._saved, self._buffers = self.state.step, _copied_buffers(self.state)
        try:
            self._fit()
        except Exception:
            bad = self._unseen.look()
            if bad is not None:  # which is why, perhaps; of this rank alone, as the others may be elsewhere
                raise self._not_finite(bad, bad.keys) from None
            self._rescue()
            raise

    def _fit(self) -> None:
        plan, state, per_epoch = self.plan, self.state, self.stream.steps_per_epoch
        while state.step < plan.steps:
            epoch, done = divmod(state.step, per_epoch)
            for batch in self.meter.timed(self._agreed(self.stream.batches(epoch, done))):
                with self.meter.flops.counted():
                    out, norm = self.train_step(batch.to(plan.device))
                self.meter.count(batch, plan.ranks.count)
                if state.step % plan.config.log_every == 0 or state.step == plan.steps:
                    self.log_step(out, norm)
                elif self._unseen.full:
                    self.check_finite()
                if state.step == plan.steps:
                    break
                if plan.config.save_every and state.step % plan.config.save_every == 0:
                    self.save()
                    self.prune()
            if not self.stopped:
                self.evaluate()
            self.save()
            if self.stopped and state.step < plan.steps:
                raise InterruptedRun(
                    f"stopped after step {state.step} of {plan.steps}; it is saved",
                    where=str(self.folder),
                    fix="the same command resumes",
                )
            self.prune()

    def train_step(self, batch: Batch) -> tuple[LossOut, Tensor]:
        """One optimiser step on this rank's share of a batch; the loss, and the norm of its gradient.

        Nothing is read from the device: `check_finite` says later whether loss and gradient were finite.
        """
        plan, config, state = self.plan, self.plan.config, self.state

        # where training stands: the learning rate, and what of the loss moves with time
        rate = learning_rate(state.step, plan.steps, config.warmup_steps(plan.steps), config.peak_lr)
        set_learning_rate(state.optimiser, rate)
        if state.step % self.stream.steps_per_epoch == 0:
            state.loss.begin_epoch()
        state.loss.begin_step(state.step, plan.steps)

        # the loss of the joined batch, the same on all ranks
        out = self.objective.loss(batch, state.step)

        # its gradient, in fp16 of a multiple of it, clipped; and the step
        self.objective.backward(state.scaler.scale(out.total))
        state.scaler.unscale_(state.optimiser)
        norm = clip_gradients(state.optimiser, config.clip_grad)
        self._buffers = None
        state.scaler.step(state.optimiser)
        state.scaler.update()
        state.optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            state.model.logit_scale.clamp_(0, self.highest_scale)
        state.step += 1
        self._unseen.add(state.step, batch.keys, out, None if state.scaler.is_enabled() else norm)

        # the copies of the model follow it
        if state.average is not None:
            state.average.follow(state.model.network)
        if state.teacher is not None:
            state.teacher.after_step(state.step, state.model.network)
        self._buffers = _copied_buffers(state)
        return out, norm

    def evaluate(self) -> None:
        """Score the model, or the average of its weights, on held-out shards if there are any. Rank 0 alone."""
        self.check_finite()
        shards = self.plan.eval_shards
        if shards is not None:
            saved = self.save() if is_sharded(self.state.model) else None  # no process has the model whole
            self.plan.ranks.first_does(lambda: self._evaluate(shards, saved))

    def _evaluate(self, shards: ShardSet, saved: Path | None) -> None:
        if saved is None:
            model = self.state.average.model if self.state.average else self.state.model
        else:
            model = load_checkpoint(saved).to(self.plan.device)
        self.report = evaluation.score(model, shards, self.plan.config.max_bad)
        self._log(evaluation.numbers_of(self.report))
        if evaluation.is_best(self.folder, self.report):
            evaluation.name_best(self.folder, saved or self._save(), self.report)

    def log_step(self, out: LossOut, norm: Tensor) -> None:
        """A row of what the last step gave, and of the rates since the row before."""
        self.check_finite()
        self._warn_of_alike()
        self._log(
            {
                "epoch": self.state.step / self.stream.steps_per_epoch,
                **self.meter.end_window(),
                **numbers_of(out),
                "lr": self.state.optimiser.param_groups[0]["lr"],
                "logit_scale": float(self.state.model.logit_scale.detach().exp()),
                "grad_norm": float(norm),
            }
        )

    def _log(self, row: dict[str, float]) -> None:
        for tracker in self.trackers:
            tracker.log(self.state.step, row)

    def save(self) -> Path:
        """A checkpoint of the last step, written by rank 0; its folder."""
        self.check_finite()
        self._saved = self.state.step
        kept = snapshot(self.state, self.plan)
        return self.plan.ranks.first_does(lambda: ckpt.save(self.folder, kept))

    def _save(self) -> Path:
        """The same by rank 0 alone, which has all weights."""
        return ckpt.save(self.folder, snapshot(self.state, self.plan))

    def _rescue(self) -> None:
        """Save the last step after an error, unless it is saved or the next one has begun to move weights.

        Rank 0 does it alone: who fails in the middle of a step cannot ask the others. With ``--fsdp`` nobody can.
        """
        if is_sharded(self.state.model):
            return
        if self._buffers is None or self._saved == self.state.step or not self.plan.ranks.first:
            return
        for module, buffers in zip((self.state.model.network, self.state.loss), self._buffers, strict=True):
            module.load_state_dict(buffers, strict=False)
        self._save()

    def prune(self) -> None:
        """Remove checkpoints that are neither among the last nor the best."""
        if self.plan.ranks.first:
            ckpt.prune(self.folder, self.plan.config.keep)

    def _agreed(self, batches: Generator[Batch]) -> Iterator[Batch]:
        """The batches, until any rank stops; an error of one rank's stream is raised on all, the last step saved.

        The vote comes before a step's first collective, so that no rank waits for one that has left. However this
        ends, the stream is closed: its thread must not outlive the run.
        """
        with closing(batches):
            while True:
                batch, error = None, None
                try:
                    batch = next(batches, None)
                except Exception as problem:  # noqa: BLE001 (all ranks raise it)
                    error = problem
                try:
                    self.stopped = self.plan.ranks.agree(self.stop.is_set(), error)
                except Exception:
                    if self.state.step:
                        self.save()
                    raise
                if self.stopped:
                    return
                if batch is None:
                    return
                yield batch

    def check_finite(self) -> None:
        """Look at the losses and gradients since the last look; they are the same on all ranks, so all stop.

        Raises:
            InputError: one is not finite; what was learnt since is lost.
        """
        found = self._unseen.look()
        if found is not None:
            self._buffers = None  # the weights are what is wrong now
            raise self._not_finite(found, self.plan.ranks.collect(found.keys))

    def _not_finite(self, found: UnseenStep, keys: list[str]) -> InputError:
        path = self.folder / "non_finite.json"
        parts = {name: str(float(value)) for name, value in found.parts.items()}
        if self.plan.ranks.first:
            ckpt.write_json(path, {"step": found.number - 1, "keys": keys, "parts": parts})
        what = "gradient" if found.total.isfinite() else "loss"
        return InputError(
            f"the {what} of step {found.number} is not finite",
            where=f"{path} holds the keys of its batch",
            why=", ".join(f"{name} {value}" for name, value in parts.items()),
            fix="lower --lr, use --precision fp32 or bf16, or look at these samples; the last checkpoint is good",
        )

    def _warn_of_alike(self) -> None:
        """Say it once, at the first row, where the model cannot read what many negatives differ in."""
        legible = self.meter.legible
        if self.plan.ranks.first and not self.meter.samples and legible.percent_alike > MANY_ALIKE:
            note(
                f"{legible.alike:,} of {legible.total:,} negatives are equal to a true caption for this model and are "
                f"left out: it reads {self.state.model.context_length} tokens; shorten the captions, or use a model "
                "that reads more"
            )


def _copied_buffers(state: TrainState) -> list[dict[str, Tensor]]:
    """Copies of what a forward pass changes of the network and of the loss: running means, margins, queues."""
    modules = (state.model.network, state.loss)
    return [{name: buffer.clone() for name, buffer in module.named_buffers()} for module in modules]
