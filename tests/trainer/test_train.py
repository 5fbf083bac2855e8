"""Runs from end to end: they learn, they resume bit for bit, and they refuse what cannot be right."""

from __future__ import annotations

import fcntl
import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from ahnpl.data.decode import Decoder
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.run import evaluate
from ahnpl.losses import LossOut, build_loss, list_recipes
from ahnpl.model.checkpoint import find_checkpoint, list_checkpoints, read_best
from ahnpl.model.clip import ModelSpec, load_checkpoint, load_model, load_tokenizer
from ahnpl.training.config import TrainConfig
from ahnpl.training.ema import EmaModel, Teacher
from ahnpl.training.loop import TrainResult, train
from ahnpl.training.optimise import learning_rate, make_optimiser, set_learning_rate
from ahnpl.training.plan import Plan, make_draw, make_plan
from ahnpl.training.process import products_rounded
from negmine.base.errors import DamagedError, Exit, InputError, InterruptedRun, ResourceError, UsageError
from negmine.contract.training_runs import read_metrics

from tests.trainer.conftest import make_long_sample, write_shards


@pytest.fixture
def configure(shards: Path, micro: str, tmp_path: Path) -> Callable[..., TrainConfig]:
    """A quick run of 8 steps: 2 epochs of 4."""

    def make(**options: Any) -> TrainConfig:
        defaults = {
            "shards": (f"{shards}/*.tar",),
            "model": micro,
            "out": str(tmp_path / "run"),
            "epochs": 2,
            "batch_size": 16,
            "lr": 1e-3,
            "workers": 0,
            "log_every": 1,
        }
        return TrainConfig(**{**defaults, **options})

    return make


OF_PLAIN_SHARDS = [
    name
    for name, loss in ((name, build_loss(name)) for name in list_recipes())
    if not (loss.needs_image_negatives or loss.needs_positives)
]
"""Recipes that need nothing but captions, images and text negatives."""


def fit(config: TrainConfig, **options: Any) -> TrainResult:
    return train(make_plan(config), **options)


def losses(run: str) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in read_metrics(Path(run)) if "loss" in row]


@contextmanager
def short_of_memory(config: TrainConfig, where: str, step: int) -> Iterator[Plan]:
    """A plan whose run asks for more memory than there is, after so many steps."""
    plan, calls = make_plan(config), count()

    def ask(*_: object) -> None:
        if next(calls) == step:
            torch.empty(2**50)

    def ask_backwards(_module: object, _given: object, out: LossOut) -> None:
        out.total.register_hook(ask)

    def first_ask(act: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (ask(), act(*given))[1]

    with pytest.MonkeyPatch.context() as patch:
        if where == "images":
            patch.setattr(Decoder, "__getitems__", first_ask(Decoder.__getitems__))
        elif where == "average":
            patch.setattr(EmaModel, "follow", first_ask(EmaModel.follow))
        else:
            plan.loss.register_forward_hook(ask if where == "loss" else ask_backwards)
        yield plan


def weights(run: str) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(list_checkpoints(Path(run))[-1]).network.state_dict())


def test_several_threads_add_in_one_order(configure: Callable[..., TrainConfig]) -> None:
    """Gradients of what several texts read, such as positions, are not added in the order in which threads come."""
    places = torch.randint(0, 40, (20_000,), generator=torch.Generator().manual_seed(0))
    back = torch.randn(20_000, 128, generator=torch.Generator().manual_seed(1))
    plan = make_plan(configure(epochs=1))
    build, found = plan.loss.begin_epoch, []

    def begin_epoch() -> None:  # inside the run
        build()
        for _ in range(12):
            table = torch.zeros(40, 128, requires_grad=True)
            table[places].backward(back)
            found.append(table.grad)

    plan.loss.begin_epoch = begin_epoch  # type: ignore[method-assign]
    torch.set_num_threads(2)
    try:
        train(plan)
    finally:
        torch.set_num_threads(1)
    assert len(found) == 12 and all(torch.equal(found[0], other) for other in found)
    assert not torch.are_deterministic_algorithms_enabled()


class TestLearning:
    def test_overfits_a_few_samples(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(steps=70, batch_size=32, lr=3e-3, recipe="ahnpl", log_every=10)
        trained = load_checkpoint(fit(config).checkpoint)
        items = list(shard_items(open_shards(config.shards)))
        before = evaluate(load_model(ModelSpec(config.model)), items, retrieval=False).micro.share
        after = evaluate(trained, items, retrieval=False).micro.share
        assert before < 0.7
        assert after > 0.9

    @pytest.mark.parametrize("recipe", OF_PLAIN_SHARDS)
    def test_every_recipe_trains(self, configure: Callable[..., TrainConfig], recipe: str, tmp_path: Path) -> None:
        if "width" in build_loss(recipe).recipe.parameters:
            own = tmp_path / "own.yaml"
            own.write_text(f"extends: {recipe}\nwidth: 32\n")
            recipe = str(own)
        config = configure(recipe=recipe, steps=3)
        result = fit(config)
        rows = read_metrics(Path(config.out))
        assert result.steps == 3
        assert all(math.isfinite(row["loss"]) for row in rows)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_half_precision(self, configure: Callable[..., TrainConfig], precision: str) -> None:
        full, half = configure(epochs=1), configure(epochs=1, precision=precision, out=configure().out + "-half")
        fit(full), fit(half)
        for (_, a), (_, b) in zip(losses(full.out)[:2], losses(half.out)[:2], strict=True):
            assert a != b
            assert a == pytest.approx(b, rel=0.05)

    def test_what_is_logged(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(epochs=1)
        fit(config)
        row = read_metrics(Path(config.out))[-1]
        parts = {"i2t": 0.5, "t2i": 0.5, "text_negatives": 1.0, "image_negatives": 1.0, "margin": 0.2}
        assert row["loss"] == pytest.approx(sum(w * row[f"loss/{name}"] for name, w in parts.items()), rel=1e-5)
        assert {"lr", "logit_scale", "margin/0", "margin/2", "samples_per_s", "data_wait_percent"} <= row.keys()
        assert 0 <= row["data_wait_percent"] <= 100
        assert (Path(config.out) / "curves.png").read_bytes().startswith(b"\x89PNG")

    def test_the_best_checkpoint_is_kept(self, configure: Callable[..., TrainConfig], shards: Path) -> None:
        config = configure(epochs=4, eval_shards=(f"{shards}/00002.tar",), keep=1)
        result = fit(config)
        run = Path(config.out)
        scores = {row["step"]: row["eval/accuracy"] for row in read_metrics(run) if "eval/accuracy" in row}
        best = read_best(run)
        assert list(scores) == [0, 4, 8, 12, 16]
        assert best is not None and best["score"] == max(scores.values())
        assert scores[int(best["checkpoint"].removeprefix("step-"))] == best["score"]
        assert find_checkpoint(run).name == best["checkpoint"]
        assert {path.name for path in list_checkpoints(run)} == {best["checkpoint"], "step-00000016"}
        assert result.report is not None and result.report.micro.share == scores[16]

    @pytest.mark.parametrize(("tower", "mark"), [("image", "visual."), ("text", "transformer.")])
    def test_a_locked_tower_stays(self, configure: Callable[..., TrainConfig], tower: str, mark: str) -> None:
        config = configure(steps=2, lock=tower)
        fit(config)
        before, after = load_model(ModelSpec(config.model)).network.state_dict(), weights(config.out)
        moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert moved and not any(name.startswith(mark) for name in moved)

    def test_low_rank_updates_are_all_that_trains(self, configure: Callable[..., TrainConfig]) -> None:
        """Linear maps move by matrices of the rank, the rest stays, and the run goes on bit for bit."""
        config = configure(epochs=1, lora=2, save_every=2, keep=9, lock="image", ema=0.5)
        fit(config)
        before, after = load_model(ModelSpec(config.model)).network.state_dict(), weights(config.out)
        assert before.keys() == after.keys()
        moved = {name: after[name] - before[name] for name in after if not torch.equal(after[name], before[name])}
        assert {name.split(".")[-2] for name in moved if "." in name} == {"attn", "out_proj", "c_fc", "c_proj"}
        assert all(name == "logit_scale" or "visual" not in name for name in moved)
        updates = [value for name, value in moved.items() if name != "logit_scale"]
        assert all(torch.linalg.matrix_rank(update, rtol=1e-3) <= 8 for update in updates)  # four averaged steps
        again = configure(
            epochs=1,
            lora=2,
            lock="image",
            ema=0.5,
            out=config.out + "-again",
            resume=f"{config.out}/checkpoints/step-00000002",
        )
        fit(again)
        ours = weights(again.out)
        assert all(torch.equal(ours[name], after[name]) for name in after)

    def test_parts_and_checkpointing_change_nothing(self, configure: Callable[..., TrainConfig]) -> None:
        plain = configure(epochs=1)
        parts = configure(epochs=1, grad_cache_chunks=4, grad_checkpointing=True, out=plain.out + "-parts")
        fit(plain), fit(parts)
        for (_, a), (_, b) in zip(losses(plain.out), losses(parts.out), strict=True):
            assert a == pytest.approx(b, rel=1e-4)


class TestTeacher:
    @pytest.mark.parametrize(
        ("kind", "expected"), [("frozen", [0, 0, 0, 0]), ("ema", [0.5, 1.25, 2.125, 3.0625]), ("lagged", [0, 2, 2, 4])]
    )
    def test_how_it_follows(self, micro: str, kind: str, expected: list[float]) -> None:
        """The model's logit scale is 1, 2, 3, 4 after these steps, and was 0."""
        model = load_model(ModelSpec(micro))
        with torch.no_grad():
            model.logit_scale.fill_(0)
            teacher = Teacher(model, SimpleNamespace(kind=kind, decay=0.5, every=2))
            found = []
            for step in range(1, 5):
                model.logit_scale.fill_(step)
                teacher.after_step(step, model.network)
                found.append(float(teacher.model.logit_scale))
        assert found == expected
        assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


class TestOptimiser:
    def test_what_does_not_decay(self) -> None:
        model = load_model(ModelSpec("tiny"))
        decayed, plain = make_optimiser({"model": model.network}, 0.1).param_groups
        assert decayed["weight_decay"] == 0.1 and plain["weight_decay"] == 0
        assert {"model.visual.proj", "model.token_embedding.weight"} <= set(decayed["names"])
        assert {"model.logit_scale", "model.ln_final.weight", "model.visual.class_embedding"} <= set(plain["names"])
        assert all("bias" not in name and "ln" not in name for name in decayed["names"])
        assert len(decayed["names"]) + len(plain["names"]) == len(list(model.network.parameters()))

    def test_weights_of_the_loss_have_a_rate_of_their_own(self) -> None:
        model, loss = load_model(ModelSpec("tiny")), build_loss("amcl")
        modules = {"model": model.network, "loss": loss}
        optimiser = make_optimiser(modules, 0.1, betas=(0.9, 0.999), eps=1e-8, scales={"loss": 10.0})
        set_learning_rate(optimiser, 0.5)
        rates = {name: group["lr"] for group in optimiser.param_groups for name in group["names"]}
        assert rates["model.visual.proj"] == 0.5 and len(rates) == len(list(model.network.parameters())) + len(
            list(loss.parameters())
        )
        assert {rate for name, rate in rates.items() if name.startswith("loss.")} == {5.0}
        assert optimiser.defaults["betas"] == (0.9, 0.999) and optimiser.defaults["eps"] == 1e-8

    def test_products_are_rounded_while_a_run_lasts(self, configure: Callable[..., TrainConfig]) -> None:
        seen = []
        with products_rounded("high"):
            seen.append(torch.get_float32_matmul_precision())
        assert [*seen, torch.get_float32_matmul_precision()] == ["high", "highest"]

    @pytest.mark.parametrize("wrong", [{"beta1": 1.0}, {"beta2": 1.5}, {"eps": -1.0}, {"matmul_precision": "tf32"}])
    def test_wrong_values(self, configure: Callable[..., TrainConfig], wrong: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", "[-_ ]")):
            configure(**wrong)

    def test_learning_rate(self) -> None:
        rates = [learning_rate(step, 100, 10, 1.0) for step in range(100)]
        assert rates[0] == 0.1 and rates[9] == 1.0 and rates[10] == 1.0
        assert all(b < a for a, b in pairwise(rates[10:]))
        assert rates[55] == pytest.approx(0.5)
        assert rates[99] < 0.001

    def test_the_logit_scale_is_clamped(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(lr=3.0, clip_grad=0.0, recipe="clip", epochs=3, warmup=0)
        with suppress(InputError):  # it may well diverge
            fit(config)
        scales = [row["logit_scale"] for row in read_metrics(Path(config.out))]
        assert scales and all(1 - 1e-6 <= scale <= 100 + 1e-3 for scale in scales)


@contextmanager
def terminated_after(rows: int, run: Path) -> Iterator[None]:
    """Send this process SIGTERM as soon as a run has logged `rows` steps."""

    def watch() -> None:
        while len(losses(str(run))) < rows:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


class TestResume:
    def test_a_stopped_run_goes_on_bit_for_bit(self, configure: Callable[..., TrainConfig], tmp_path: Path) -> None:
        whole, parts = configure(epochs=5), configure(epochs=5, out=str(tmp_path / "parts"))
        fit(whole)
        with pytest.raises(InterruptedRun) as stopped, terminated_after(5, tmp_path / "parts"):
            fit(parts)
        assert stopped.value.status == Exit.INTERRUPTED
        done = len(losses(parts.out))
        assert 5 <= done < 20
        result = fit(configure(epochs=5, out=parts.out, workers=1))
        assert (result.steps, result.resumed) == (20, done)
        assert losses(parts.out) == losses(whole.out)
        ours, theirs = weights(parts.out), weights(whole.out)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    @pytest.mark.parametrize(
        ("recipe", "where"), [("ahnpl", "loss"), ("contriever", "loss"), ("clip", "images"), ("ahnpl", "backward")]
    )
    def test_a_run_that_is_out_of_memory_goes_on_bit_for_bit(
        self, configure: Callable[..., TrainConfig], tmp_path: Path, recipe: str, where: str
    ) -> None:
        """Once margins, queues and running means have moved, too, and in a worker's place."""
        options = {"recipe": recipe, "steps": 3, **({"model": "tiny-conv"} if where == "backward" else {})}
        whole, parts = configure(**options), configure(**options, out=str(tmp_path / "parts"))
        fit(whole)
        with pytest.raises(RuntimeError, match="can't allocate memory"), short_of_memory(parts, where, step=2) as plan:
            train(plan)
        assert [path.name for path in list_checkpoints(Path(parts.out))] == ["step-00000002"]
        assert fit(parts).resumed == 2
        assert losses(parts.out) == losses(whole.out)
        ours, theirs = weights(parts.out), weights(whole.out)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    def test_half_a_step_is_not_saved(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(epochs=1, ema=0.5)
        with pytest.raises(RuntimeError, match="can't allocate memory"), short_of_memory(config, "average", 3) as plan:
            train(plan)
        assert list_checkpoints(Path(config.out)) == []

    @pytest.mark.parametrize("recipe", ["ahnpl", "degla", "mochi"])
    def test_averages_teachers_and_draws_go_on_bit_for_bit(
        self, configure: Callable[..., TrainConfig], tmp_path: Path, recipe: str
    ) -> None:
        options = {"recipe": recipe, "ema": 0.5, "grad_cache_chunks": 2, "grad_checkpointing": True, "epochs": 1}
        whole, parts = configure(**options, save_every=2, keep=9), configure(**options, out=str(tmp_path / "parts"))
        fit(whole)
        start = Path(whole.out) / "checkpoints" / "step-00000002"
        fit(TrainConfig(**{**vars(parts), "resume": str(start)}))
        ours, theirs = weights(parts.out), weights(whole.out)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert losses(parts.out) == losses(whole.out)[2:]

    def test_the_average_is_what_is_saved(self, configure: Callable[..., TrainConfig]) -> None:
        plain, averaged = (
            configure(steps=2, keep=9, save_every=1),
            configure(steps=1, ema=0.75, out=configure().out + "e"),
        )
        fit(plain), fit(averaged)
        first = load_model(ModelSpec(plain.model)).network.state_dict()
        then = load_checkpoint(Path(plain.out) / "checkpoints" / "step-00000001").network.state_dict()
        found = load_checkpoint(Path(averaged.out) / "checkpoints" / "step-00000001").network.state_dict()
        for name, value in found.items():
            torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * then[name])

    def test_the_same_command_is_the_same_run_with_two_threads_and_over_a_kill(
        self, micro: str, tmp_path: Path
    ) -> None:
        """Texts are long and different, so that both threads add to the gradients of the same positions."""
        samples = [make_long_sample(number) for number in range(64)]
        folder = write_shards(tmp_path / "long", [samples])

        def start(name: str) -> subprocess.Popen[bytes]:
            command = [
                sys.executable,
                "-c",
                "from ahnpl.cli import train_main; train_main()",
                "--shards",
                f"{folder}/*.tar",
                "--model",
                micro,
                "--out",
                str(tmp_path / name),
                "--epochs",
                "3",
                "--batch-size",
                "32",
                "--lr",
                "1e-3",
                "--workers",
                "0",
                "--log-every",
                "1",
                "--save-every",
                "2",
            ]
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            return subprocess.Popen(command, **quiet, env={**os.environ, "OMP_NUM_THREADS": "2"})

        assert start("once").wait() == start("twice").wait() == 0
        killed = start("killed")
        while len(losses(str(tmp_path / "killed"))) < 3 and killed.poll() is None:
            time.sleep(0.01)
        killed.kill()
        killed.wait()
        assert start("killed").wait() == 0
        expected = weights(str(tmp_path / "once"))
        for name in ("twice", "killed"):
            assert losses(str(tmp_path / name)) == losses(str(tmp_path / "once"))
            found = weights(str(tmp_path / name))
            assert all(torch.equal(found[key], value) for key, value in expected.items())

    def test_a_finished_run_has_nothing_to_do(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure()
        fit(config)
        before = {path: path.stat().st_mtime_ns for path in (Path(config.out) / "checkpoints").rglob("*")}
        result = fit(config)
        assert (result.steps, result.resumed, result.samples) == (8, 8, 0)
        assert before == {path: path.stat().st_mtime_ns for path in (Path(config.out) / "checkpoints").rglob("*")}

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"lr": 5e-4}, "settings.lr: 0.001 -> 0.0005"),
            ({"recipe": "negclip"}, "settings.recipe: .ahnpl. -> "),
            ({"seed": 4}, "seed"),
        ],
    )
    def test_other_settings_are_refused(
        self, configure: Callable[..., TrainConfig], change: dict[str, Any], named: str
    ) -> None:
        fit(configure(steps=1))
        with pytest.raises(DamagedError, match=named):
            fit(configure(steps=1, **change))

    @pytest.mark.parametrize(("option", "value"), [("eps", 1e-8), ("matmul_precision", "high")])
    def test_what_a_record_does_not_name_was_fixed_at_todays_default(
        self, configure: Callable[..., TrainConfig], option: str, value: object
    ) -> None:
        config = configure(steps=1)
        path = fit(config).checkpoint / "state.json"
        state = json.loads(path.read_text())
        for later in ("beta1", "beta2", "eps", "loss_lr_scale", "matmul_precision"):
            del state["settings"][later]
        del state["checksum"]
        path.write_text(json.dumps(state))
        with pytest.raises(DamagedError, match=rf"settings\.{option}: .* -> .*{value}"):
            fit(configure(steps=1, **{option: value}))
        assert fit(config).resumed == 1

    def test_a_run_is_made_longer(
        self, configure: Callable[..., TrainConfig], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Its first steps are those of the shorter run, and what follows has the longer run's learning rate."""
        short = fit(configure(steps=2))
        before = losses(str(short.checkpoint.parents[1]))
        with pytest.raises(DamagedError, match=r"settings\.steps: 2 -> 1"):
            fit(configure(steps=1))
        capsys.readouterr()
        longer = fit(configure(steps=None, epochs=1))  # of 4 steps
        assert "begun with 2 steps and is made longer, to 4" in " ".join(capsys.readouterr().err.split())
        assert (longer.resumed, longer.steps) == (2, 4)
        run = longer.checkpoint.parents[1]
        assert losses(str(run))[:2] == before
        rates = [row["lr"] for row in read_metrics(run) if "lr" in row]
        assert rates == [learning_rate(step, total, 0, 1e-3) for step, total in ((0, 2), (1, 2), (2, 4), (3, 4))]
        assert fit(configure(steps=4)).resumed == 4  # the same length in other words

    def test_other_shards_are_refused(self, configure: Callable[..., TrainConfig], shards: Path) -> None:
        fit(configure(steps=1))
        with pytest.raises(DamagedError, match="shards"):
            fit(configure(steps=1, shards=(f"{shards}/00001.tar",)))

    def test_another_model_is_refused_with_both_names(self, configure: Callable[..., TrainConfig], micro: str) -> None:
        config = configure(steps=1)
        fit(config)
        with pytest.raises(DamagedError) as error:
            fit(configure(steps=1, model="tiny"))
        assert micro in str(error.value) and "tiny" in str(error.value)
        with pytest.raises(DamagedError) as error:
            fit(configure(steps=1, model="tiny", pretrained=config.out, out=config.out + "-other"))
        assert micro in str(error.value) and "tiny" in str(error.value)

    def test_a_run_of_a_version_that_drew_otherwise_is_refused_in_words(
        self, configure: Callable[..., TrainConfig]
    ) -> None:
        config = configure(steps=1)
        path = fit(config).checkpoint / "state.json"
        state = json.loads(path.read_text())
        del state["settings"]["draws"], state["checksum"]  # as earlier versions wrote it
        path.write_text(json.dumps(state))
        with pytest.raises(DamagedError, match="by a version of ahnpl that draws otherwise") as refused:
            fit(config)
        assert str(path.parent) in str(refused.value) and "--overwrite" in str(refused.value)

    def test_never_and_overwrite(self, configure: Callable[..., TrainConfig]) -> None:
        fit(configure(steps=2))
        with pytest.raises(UsageError, match="already holds a run"):
            fit(configure(steps=2, resume="never"))
        result = fit(configure(steps=1), overwrite=True)
        assert (result.steps, result.resumed) == (1, 0)
        assert len(losses(configure().out)) == 1

    def test_from_a_checkpoint_elsewhere(self, configure: Callable[..., TrainConfig]) -> None:
        first = configure(save_every=3, keep=9)
        fit(first)
        again = configure(resume=f"{first.out}/checkpoints/step-00000003", out=first.out + "-again")
        assert fit(again).resumed == 3
        assert losses(again.out) == losses(first.out)[3:]

    def test_a_cut_checkpoint_is_named(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(steps=2)
        folder = fit(config).checkpoint
        tensors = folder / "training.safetensors"
        tensors.write_bytes(tensors.read_bytes()[:-100])
        with pytest.raises(DamagedError, match=folder.name):
            fit(config)


class TestTrouble:
    def test_two_runs_in_one_folder(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure()
        Path(config.out).mkdir()
        with (Path(config.out) / ".lock").open("w") as held:
            held.write("host elsewhere, process 4711")
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(ResourceError, match="host elsewhere, process 4711"):
                fit(config)
        assert fit(configure(steps=1)).steps == 1

    def test_a_full_disk_leaves_no_half_checkpoint(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(steps=1)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
            with pytest.raises(ResourceError, match="no space"):
                fit(config)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        assert list((Path(config.out) / "checkpoints").iterdir()) == []
        assert fit(config).resumed == 0

    def test_a_loss_that_is_not_finite(self, configure: Callable[..., TrainConfig]) -> None:
        config = configure(lr=1e30, warmup=0, clip_grad=0.0)
        with pytest.raises(InputError, match=r"not finite(.|\n)*non_finite\.json"):
            fit(config)
        found = json.loads((Path(config.out) / "non_finite.json").read_text())
        assert len(found["keys"]) == 16
        assert set(found["parts"]) >= {"i2t", "t2i"}

    def test_it_is_named_though_it_is_seen_later(self, configure: Callable[..., TrainConfig], tmp_path: Path) -> None:
        found = []
        for log_every in (1, 100):
            config = configure(
                lr=1e30, warmup=0, clip_grad=0.0, steps=4, log_every=log_every, out=str(tmp_path / f"{log_every}")
            )
            with pytest.raises(InputError, match="the loss of step 2 is not finite"):
                fit(config)
            found.append((Path(config.out) / "non_finite.json").read_text())
            assert not list_checkpoints(Path(config.out))
        assert found[0] == found[1]

    def test_a_gradient_that_is_not_finite_is_never_saved(
        self, configure: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        norms = iter([1.0, 1.0, float("nan")])
        monkeypatch.setattr("ahnpl.training.loop.clip_gradients", lambda *_: torch.tensor(next(norms)))
        config = configure(steps=4, save_every=1, keep=1, log_every=100)
        with pytest.raises(InputError, match="the gradient of step 3 is not finite"):
            fit(config)
        assert [path.name for path in list_checkpoints(Path(config.out))] == ["step-00000002"]

    def test_a_recipe_without_its_negatives(
        self, configure: Callable[..., TrainConfig], few_shards: Callable[..., Path]
    ) -> None:
        folder = few_shards(negatives=0)
        config = configure(shards=(f"{folder}/*.tar",), batch_size=4)
        with pytest.raises(UsageError, match="needs text negatives"):
            fit(config)
        assert not Path(config.out).exists()
        with pytest.raises(UsageError, match="--negatives is 0"):
            fit(configure(negatives=0))
        assert fit(configure(shards=(f"{folder}/*.tar",), batch_size=4, recipe="clip", steps=1)).steps == 1

    @pytest.mark.parametrize(
        "options",
        [
            {"epochs": 0},
            {"batch_size": 0},
            {"batch_size": 1},
            {"precision": "fp8"},
            {"lr": -1.0},
            {"eps": 0.0},
            {"seed": 10**400},
            {"canonical_ranks": 10**9},
            {"grad_cache_chunks": 10**9},
        ],
    )
    def test_numbers_out_of_range(self, configure: Callable[..., TrainConfig], options: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=next(iter(options)).replace("_", "-")):
            configure(**options)

    @pytest.mark.parametrize("options", [{"difficulty": "nan:1"}, {"kind_weights": "negate=inf"}])
    def test_draws_that_are_no_numbers(self, configure: Callable[..., TrainConfig], options: dict[str, str]) -> None:
        with pytest.raises(UsageError, match="how negatives are to be drawn"):
            make_draw(configure(**options), 1)

    def test_a_tracker_that_is_not_there(self, configure: Callable[..., TrainConfig]) -> None:
        with pytest.raises(UsageError, match="tensorboard"):
            fit(configure(steps=1, track=("tensorbord",)))
        try:
            import trackio  # noqa: F401
        except ImportError:
            with pytest.raises(UsageError, match=r"negmine\[track\]"):
                fit(configure(steps=1, track=("trackio",)))


def test_open_clip_loads_our_checkpoints(configure: Callable[..., TrainConfig]) -> None:
    folder = fit(configure(steps=2)).checkpoint
    theirs, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    ours = load_checkpoint(folder).eval()
    tokens = load_tokenizer("tiny")(["a red circle on the left"])
    torch.testing.assert_close(theirs.eval().encode_text(tokens, normalize=True), ours.encode_text(tokens))
    assert preprocess.transforms[0].size == 32
