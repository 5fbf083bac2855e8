"""Several processes are one run: the same gradients, one writer, and no rank that waits for a dead one."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ahnpl.data.batch import Batch
from ahnpl.losses import build_loss, list_recipes
from ahnpl.model.checkpoint import list_checkpoints
from ahnpl.model.clip import ClipModel, ModelSpec, load_model, prepare
from ahnpl.model.ranks import Ranks, _is_of_connection
from ahnpl.model.sharded import whole
from ahnpl.training.config import TrainConfig
from ahnpl.training.objective import Objective
from ahnpl.training.plan import make_plan
from negmine.base.errors import Exit, UsageError
from negmine.contract.training_runs import read_metrics
from torch import nn

from tests.trainer.conftest import MICRO, make_batch, make_sample, texts_only, write_shards
from tests.trainer.losses.batches import built, random_features
from tests.trainer.team import in_processes, start_command

CPU = torch.device("cpu")
CASES = [("ahnpl", 1, False), ("ce_clip", 2, False), ("mmclip_both", 2, False), ("ahnpl", 2, True), ("siglip", 1, True)]
"""Recipe, parts, and whether each process computes its own rows of the loss."""


ROW_WISE = [name for name in list_recipes() if not build_loss(name).whole_terms]
TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-12}
WITH_ROWS = ("image", "text", "text_negatives", "image_negatives")
"""Features that each process has its own rows of, with gradient."""


def of_own_rows(recipe: str, kind: torch.dtype, ranks: Ranks) -> dict[str, torch.Tensor]:
    """Loss and gradients of random features, of which this process has its share."""
    features, size = random_features(batch=8), 8 // ranks.count
    own = slice(ranks.rank * size, (ranks.rank + 1) * size)
    given = {field.name: getattr(features, field.name) for field in fields(features)}
    given |= {"image_ids": torch.tensor([7, 7, 8, 9, 9, 9, 5, 8]), "logit_bias": torch.tensor(-3.0)}
    tensors = {n: t[own] if t.ndim else t for n, t in given.items() if isinstance(t, torch.Tensor)}
    tensors = {n: t.to(kind) if t.is_floating_point() else t for n, t in tensors.items()}
    leaves = {n: tensors[n].requires_grad_() for n in (*WITH_ROWS, "logit_scale", "logit_bias")}
    loss = built(recipe).to(kind)
    loss.begin_step(4, 10)
    total = loss(ranks.gather(replace(features, **tensors), local=True)).total
    total.backward()
    ranks.average(loss)
    found = {n: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for n, leaf in leaves.items()}
    found = {n: one if n in WITH_ROWS else ranks.mean(one) * ranks.count for n, one in found.items()}
    weights = {f"of the loss: {n}": p.grad for n, p in loss.named_parameters() if p.grad is not None}
    return {**found, **weights, "total": ranks.mean(total.detach()), **loss.state_dict()}


def make_model(name: str, dropout: float = 0.0) -> ClipModel:
    model = load_model(ModelSpec(name, seed=3))
    transformer: Any = model.network.transformer
    for block in transformer.resblocks:
        block.mlp.add_module("drop", nn.Dropout(dropout))
    return model.double().train()


def gradients(
    name: str,
    recipe: str,
    batch: Batch,
    ranks: Ranks,
    parts: int,
    dropout: float = 0.0,
    *,
    local: bool = False,
    fsdp: bool = False,
) -> dict[str, Any]:
    """Gradients of one step, the loss, and what the loss remembers."""
    model, loss = make_model(name, dropout), build_loss(recipe).double()
    objective = Objective(model, loss, ranks=ranks, grad_cache_chunks=parts, local_loss=local, fsdp=fsdp)
    batch = batch if loss.needs_image_negatives else texts_only(batch)
    out = objective.loss(batch, 7)
    objective.backward(out.total)
    found = {n: whole(p.grad) for n, p in model.network.named_parameters() if p.grad is not None}
    own = {f"of the loss: {n}": p.grad for n, p in loss.named_parameters() if p.grad is not None}
    return {**found, **own, "total": out.total.detach(), **loss.state_dict()}


def share_a_step(rank: int, count: int, name: str, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(count)}
    ranks = Ranks.of_environment()
    with ranks.joined(CPU):
        for recipe, parts, local in CASES:
            found = gradients(name, recipe, make_batch().split(count)[rank], ranks, parts, local=local)
            torch.save(found, Path(folder) / f"{recipe}-{local}-{rank}.pt")
            found = gradients(name, recipe, make_batch().split(count)[rank], ranks, parts, local=local, fsdp=True)
            torch.save(found, Path(folder) / f"{recipe}-{local}-{rank}-in-parts.pt")
        rows = {(recipe, kind): of_own_rows(recipe, kind, ranks) for recipe in ROW_WISE for kind in TOLERANCES}
        torch.save(rows, Path(folder) / f"rows-{rank}.pt")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def assert_same(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, atol=tolerance, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(scope="module", params=[2, 4])
def shared(request: pytest.FixtureRequest, micro: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """So many processes, and where each left what it found."""
    folder = tmp_path_factory.mktemp("shared")
    in_processes(share_a_step, request.param, micro, free_port(), str(folder))
    return request.param, folder


def test_ranks_have_the_gradient_of_the_joined_batch(micro: str, shared: tuple[int, Path]) -> None:
    count, folder = shared
    for recipe, _, local in CASES:
        alone = gradients(micro, recipe, make_batch(), Ranks(), 1)
        assert alone["visual.conv1.weight"].abs().max() > 1e-4 and alone["token_embedding.weight"].abs().max() > 1e-4
        for rank in range(count):
            for kept in ("", "-in-parts"):
                assert_same(torch.load(folder / f"{recipe}-{local}-{rank}{kept}.pt"), alone, 1e-8)


def test_own_rows_of_a_loss_are_the_whole_one(shared: tuple[int, Path]) -> None:
    """In every recipe that admits it: loss, gradients, and what it remembers."""
    count, folder = shared
    ranks = [torch.load(folder / f"rows-{rank}.pt") for rank in range(count)]
    for recipe, (kind, tolerance) in itertools.product(ROW_WISE, TOLERANCES.items()):
        whole = of_own_rows(recipe, kind, Ranks())
        assert whole["image"].abs().max() > 1e-4, recipe
        for name, expected in whole.items():
            parts = [rank[recipe, kind][name] for rank in ranks]
            for found in [torch.cat(parts)] if name in WITH_ROWS else parts:
                error, size = (found - expected).abs().max(), expected.abs().max().clamp_min(1)
                assert error <= tolerance * size, f"{recipe}, {kind}, {name}: {error}"


@pytest.mark.parametrize("recipe", sorted(set(list_recipes()) - set(ROW_WISE)))
def test_what_needs_the_whole_batch_is_refused_by_name(recipe: str) -> None:
    terms = ", ".join(build_loss(recipe).whole_terms)
    for option in ({"local_loss": True}, {"loss_rows": 8}):
        with pytest.raises(UsageError, match=rf"recipe {recipe} needs all rows(.|\n)*terms? {terms}\n"):
            make_plan(TrainConfig(recipe=recipe, **option))  # type: ignore[arg-type]


COCA = {
    "embed_dim": 32,
    "vision_cfg": {**MICRO["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},  # type: ignore[dict-item]
    "text_cfg": {**MICRO["text_cfg"], "context_length": 76, "embed_cls": True, "output_tokens": True},  # type: ignore[dict-item]
    "multimodal_cfg": {
        "context_length": 76,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 1,
        "dim_head": 16,
        "attn_pooler_heads": 2,
    },
    "custom_text": True,
}
BIASED = {**MICRO, "custom_text": True, "init_logit_bias": -10}
"""With SigLIP's bias."""


def share_three_steps(rank: int, count: int, name: str, recipe: str, length: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "WORLD_SIZE": str(count)}
    ranks = Ranks.of_environment()
    with ranks.joined(CPU):
        batch = texts_only(make_batch(length=length))
        model = load_model(ModelSpec(name, seed=3)).double().train()
        objective = Objective(model, build_loss(recipe).double(), ranks=ranks)
        for step in range(3):
            model.zero_grad()
            objective.backward(objective.loss(batch.split(count)[rank], step).total)
        torch.save({n: p.grad for n, p in model.network.named_parameters()}, Path(folder) / f"{rank}.pt")


@pytest.mark.parametrize(
    ("config", "recipe", "length", "unreached"),
    [
        (COCA, "negclip", 76, "text_decoder."),
        (BIASED, "negclip", 77, "logit_bias"),
        (BIASED, "siglip_hard", 77, None),
    ],
)
def test_weights_that_the_loss_does_not_depend_on(
    config: dict[str, Any], recipe: str, length: int, unreached: str | None, tmp_path: Path
) -> None:
    """No gradient comes for them, and processes do not wait for it. SigLIP's bias is read by its own loss."""
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    name = f"local-dir:{tmp_path}"
    in_processes(share_three_steps, 2, name, recipe, length, free_port(), str(tmp_path))
    model = load_model(ModelSpec(name, seed=3)).double().train()
    objective = Objective(model, build_loss(recipe).double())
    objective.backward(objective.loss(texts_only(make_batch(length=length)), 2).total)
    alone = {name: parameter.grad for name, parameter in model.network.named_parameters()}
    left = {name for name, gradient in alone.items() if gradient is None}
    assert bool(left) == (unreached is not None) and all(name.startswith(unreached or "") for name in left)
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt")
        assert {name for name, gradient in together.items() if gradient is None} == left
        for name in alone.keys() - left:
            torch.testing.assert_close(together[name], alone[name], atol=1e-8, rtol=1e-6)


class TestNormalisation:
    def test_over_the_batch_of_several_processes_is_refused_on_a_cpu(self, micro: str) -> None:
        model = load_model(ModelSpec(micro))
        model.network.visual.extra = nn.BatchNorm1d(4)  # type: ignore[union-attr]
        with pytest.raises(UsageError, match="on a CPU"):
            Objective(model, build_loss("clip"), ranks=Ranks(0, 2))

    def test_of_a_locked_tower_stays(self, micro: str) -> None:
        model = load_model(ModelSpec(micro))
        model.network.visual.extra, model.network.other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)  # type: ignore[union-attr]
        prepare(model, lock="image", lora=0, checkpointing=False, compiled=False)
        model.train()
        assert model.network.training and model.network.other.training  # type: ignore[union-attr]
        assert not model.network.visual.extra.training  # type: ignore[union-attr]


def test_what_is_an_error_of_a_connection() -> None:
    """By type, or by gloo's own file: other errors that speak of peers are bugs, and tracebacks."""
    assert _is_of_connection(torch.distributed.DistBackendError("x"))
    assert _is_of_connection(
        RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:561] Connection closed")
    )
    for text in ("Expected to have finished reduction ... DistributedDataParallel", "peer access", "out of memory"):
        assert not _is_of_connection(RuntimeError(text))


class TestParts:
    @pytest.mark.parametrize("recipe", ["clip", "ahnpl", "mmclip_both"])
    @pytest.mark.parametrize("parts", [2, 3, 8])
    def test_the_gradient_is_the_whole_batchs(self, micro: str, recipe: str, parts: int) -> None:
        whole, cached = (gradients(micro, recipe, make_batch(), Ranks(), n) for n in (1, parts))
        assert_same(cached, whole, 1e-9)

    def test_the_models_bias_is_carried_too(self, tmp_path: Path) -> None:
        (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": BIASED}))
        batch, found = texts_only(make_batch()), []
        for parts in (1, 2):
            model = load_model(ModelSpec(f"local-dir:{tmp_path}", seed=3)).double().train()
            objective = Objective(model, build_loss("siglip_hard").double(), grad_cache_chunks=parts)
            objective.backward(objective.loss(batch, 0).total)
            found.append({n: p.grad for n, p in model.network.named_parameters() if p.grad is not None})
        assert found[0]["logit_bias"] != 0
        assert_same(found[1], found[0], 1e-9)

    def test_dropout_draws_the_same_in_both_passes(self, micro: str) -> None:
        """The gradient equals the one of a batch whose parts are encoded with the same draws, but not cached."""
        batch, parts = texts_only(make_batch()), 2
        cached = gradients(micro, "negclip", batch, Ranks(), parts, dropout=0.5)
        model, loss = make_model(micro, 0.5), build_loss("negclip").double()
        objective = Objective(model, loss, grad_cache_chunks=parts)
        found = [objective._encode(model, part, 7, number) for number, part in enumerate(batch.split(parts))]
        names = ("image", "text", "text_negatives", "text_valid", "kinds", "image_ids")
        joined: dict[str, Any] = {name: torch.cat([getattr(one, name) for one in found]) for name in names}
        loss(replace(found[0], **joined)).total.backward()
        theirs = {n: p.grad for n, p in model.network.named_parameters() if p.grad is not None}
        assert_same({name: cached[name] for name in theirs}, theirs, 1e-9)

    def test_batch_normalisation_is_refused(self, micro: str) -> None:
        model = load_model(ModelSpec(micro))
        model.network.extra = nn.BatchNorm1d(4)
        with pytest.raises(UsageError, match="--grad-cache-chunks 1"):
            Objective(model, build_loss("clip"), grad_cache_chunks=2)


class Team:
    """Processes of one run, started as torchrun would, each with its own error output."""

    def __init__(self, folder: Path, count: int, *arguments: Any) -> None:
        port = str(free_port())
        self.files = [folder / f"rank{rank}.txt" for rank in range(count)]
        self.processes = []
        for rank, file in enumerate(self.files):
            variables = {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(count),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "OMP_NUM_THREADS": "1",
            }
            self.processes.append(start_command([str(word) for word in arguments], variables, file))

    def wait(self, seconds: float = 60) -> list[int | None]:
        for process in self.processes:
            process.join(seconds)
        status = [process.exitcode for process in self.processes]
        for process in self.processes:
            process.kill()
        return status

    @property
    def said(self) -> list[str]:
        return [" ".join(file.read_text().split()) for file in self.files]


@pytest.fixture
def arguments(shards: Path, micro: str) -> Callable[..., list[Any]]:
    """8 steps of 16 captions: 2 epochs over 4 uneven shards."""

    def make(out: Path, folder: Path = shards, **options: Any) -> list[Any]:
        chosen = {"epochs": 2, "batch_size": 16, "lr": 1e-3, "workers": 0, "log_every": 1, "save_every": 2, **options}
        words = [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", value)]
        return ["--shards", f"{folder}/*.tar", "--model", micro, "--out", out, *words]

    return make


def losses(run: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in read_metrics(run) if "loss" in row}


class TestTeam:
    def test_a_killed_rank_ends_the_others_and_the_run_resumes(
        self, arguments: Callable[..., list[Any]], tmp_path: Path
    ) -> None:
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        team = Team(tmp_path, 2, *arguments(whole))
        assert team.wait() == [0, 0], team.said
        assert "checkpoint" in team.said[0] and not team.said[1]
        assert len(losses(whole)) == 8

        team = Team(tmp_path, 2, *arguments(parts, epochs=2))
        while len(list_checkpoints(parts)) < 1 and team.processes[0].is_alive():
            time.sleep(0.02)
        team.processes[1].kill()
        before = time.monotonic()
        status = team.wait(30)
        assert time.monotonic() - before < 20
        assert status == [Exit.RESOURCE, -signal.SIGKILL], team.said
        assert "rank 0 of 2 lost another rank" in team.said[0] and "Traceback" not in team.said[0]
        assert Team(tmp_path, 2, *arguments(parts)).wait() == [0, 0]
        assert losses(parts) == losses(whole)

    def test_processes_that_divide_the_shares_are_the_same_run(
        self, arguments: Callable[..., list[Any]], tmp_path: Path
    ) -> None:
        alone, two, other = (tmp_path / name for name in ("alone", "two", "other"))
        assert Team(tmp_path, 1, *arguments(alone, canonical_ranks=4)).wait() == [0]
        assert Team(tmp_path, 2, *arguments(two, canonical_ranks=4, keep=9)).wait() == [0, 0]
        assert losses(two) == pytest.approx(losses(alone), rel=1e-4)

        for checkpoint in list_checkpoints(two)[1:]:  # as if it had been stopped after the first
            shutil.rmtree(checkpoint)
        assert Team(tmp_path, 1, *arguments(two, canonical_ranks=4, keep=9)).wait() == [0]
        assert losses(two) == pytest.approx(losses(alone), rel=1e-4)

        assert Team(tmp_path, 1, *arguments(other)).wait() == [0]
        assert losses(other) != pytest.approx(losses(alone), rel=1e-2)
        team = Team(tmp_path, 2, *arguments(two))
        assert team.wait() == [Exit.DAMAGED] * 2, team.said
        assert "settings.canonical_ranks: 4 -> 2" in team.said[0]

    def test_own_rows_of_the_loss_are_the_same_run(self, arguments: Callable[..., list[Any]], tmp_path: Path) -> None:
        alone, two, options = tmp_path / "alone", tmp_path / "two", {"canonical_ranks": 2, "steps": 4}
        assert Team(tmp_path, 1, *arguments(alone, **options)).wait() == [0]
        team = Team(tmp_path, 2, *arguments(two, **options, loss_rows=3), "--local-loss")
        assert team.wait() == [0, 0], team.said
        assert losses(two) == pytest.approx(losses(alone), rel=1e-4)

    def test_a_loss_with_weights_of_its_own(self, arguments: Callable[..., list[Any]], tmp_path: Path) -> None:
        """Drawn from the seed, and the same on every process."""
        (tmp_path / "own.yaml").write_text("extends: amcl\nwidth: 32\n")
        runs = [tmp_path / name for name in ("alone", "again", "two")]
        for run, count in zip(runs, (1, 1, 2), strict=True):
            options = {"recipe": tmp_path / "own.yaml", "canonical_ranks": 2, "steps": 4}
            assert Team(tmp_path, count, *arguments(run, **options)).wait() == [0] * count
        alone, again, two = map(losses, runs)
        assert again == alone and len(alone) == 4
        assert two == pytest.approx(alone, rel=1e-4)

    def test_shares_that_the_processes_do_not_divide(self, shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(UsageError, match="2 processes cannot divide 3 canonical ranks equally"):
            make_plan(TrainConfig(shards=(f"{shards}/*.tar",), canonical_ranks=3))

    def test_one_signal_stops_all_with_a_checkpoint(self, arguments: Callable[..., list[Any]], tmp_path: Path) -> None:
        team = Team(tmp_path, 2, *arguments(tmp_path / "run", epochs=200))
        while not list_checkpoints(tmp_path / "run") and team.processes[0].is_alive():
            time.sleep(0.02)
        team.processes[1].terminate()
        assert team.wait() == [Exit.INTERRUPTED] * 2, team.said
        last = json.loads((list_checkpoints(tmp_path / "run")[-1] / "state.json").read_text())["step"]
        assert last == max(losses(tmp_path / "run"))

    def test_too_many_bad_samples_of_one_rank_stop_all(
        self, arguments: Callable[..., list[Any]], tmp_path: Path
    ) -> None:
        samples = [make_sample(n) for n in range(32)]
        samples[:4] = [replace(sample, image=b"no picture") for sample in samples[:4]]
        folder = write_shards(tmp_path / "bad", [samples[:16], samples[16:]])
        team = Team(tmp_path, 2, *arguments(tmp_path / "run", folder))
        assert team.wait() == [Exit.BAD_INPUT] * 2, team.said
        assert all("00000.tar, key 00000" in said for said in team.said), team.said


class Nodes:
    """Two machines, as network namespaces joined by a cable, each with a ``torchrun`` of one process."""

    names = ("negmine-node0", "negmine-node1")
    cards = ("negmine-c0", "negmine-c1")
    hosts = ("10.213.7.1", "10.213.7.2")

    def __enter__(self) -> Nodes:
        self.processes: list[subprocess.Popen[bytes]] = []
        self._ip("link", "add", self.cards[0], "type", "veth", "peer", "name", self.cards[1])
        for name, card, host in zip(self.names, self.cards, self.hosts, strict=True):
            self._ip("netns", "add", name)
            self._ip("link", "set", card, "netns", name)
            self._ip("-n", name, "addr", "add", f"{host}/24", "dev", card)
            for one in ("lo", card):
                self._ip("-n", name, "link", "set", one, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for number in range(len(self.processes)):
            self.kill(number)
        for name in self.names:
            self._ip("netns", "del", name)

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def train(self, folder: Path, *arguments: Any) -> None:
        """Start the command on both nodes."""
        self.files, self.processes = [folder / f"node{number}.txt" for number in range(2)], []
        for name, card, host, file in zip(self.names, self.cards, self.hosts, self.files, strict=True):
            command = [
                "ip",
                "netns",
                "exec",
                name,
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nnodes",
                "2",
                "--nproc-per-node",
                "1",
                "--rdzv-backend",
                "c10d",
                "--rdzv-endpoint",
                f"{self.hosts[0]}:29500",
                "--rdzv-id",
                "negmine",
                "--rdzv-conf",
                f"is_host={int(host == self.hosts[0])},timeout=60",
                "--local-addr",
                host,
                "--no-python",
                str(Path(sys.executable).with_name("ahnpl-train")),
                *map(str, arguments),
            ]
            with file.open("wb") as output:
                env = {**os.environ, "GLOO_SOCKET_IFNAME": card, "OMP_NUM_THREADS": "1"}
                self.processes.append(
                    subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
                )

    def kill(self, number: int) -> None:
        """All processes of a node, at once."""
        found = subprocess.run(["ip", "netns", "pids", self.names[number]], capture_output=True, text=True)
        for pid in map(int, found.stdout.split()):
            os.kill(pid, signal.SIGKILL)
        self.processes[number].wait(30)

    @property
    def said(self) -> list[str]:
        return [" ".join(file.read_text().split()) for file in self.files]


@pytest.mark.full
def test_two_nodes_are_one_run_and_a_killed_one_ends_it(arguments: Callable[..., list[Any]], tmp_path: Path) -> None:
    if os.geteuid() or subprocess.run(["ip", "netns", "add", "negmine-try"], capture_output=True).returncode:
        pytest.skip("needs the right to make network namespaces")
    subprocess.run(["ip", "netns", "del", "negmine-try"], check=True)
    one, alone, whole, parts = (tmp_path / name for name in ("one", "alone", "whole", "parts"))
    assert Team(tmp_path, 1, *arguments(one, canonical_ranks=2)).wait() == [0]
    assert Team(tmp_path, 2, *arguments(alone)).wait() == [0, 0]
    with Nodes() as nodes:
        nodes.train(tmp_path, *arguments(whole))
        assert [process.wait(120) for process in nodes.processes] == [0, 0], nodes.said
        assert losses(whole) == losses(alone)  # of two ranks on one machine
        assert losses(whole) == pytest.approx(losses(one), rel=1e-4)  # of one process
        nodes.train(tmp_path, *arguments(parts))
        while not list_checkpoints(parts) and nodes.processes[0].poll() is None:
            time.sleep(0.02)
        nodes.kill(1)
        assert nodes.processes[0].wait(60) != 0
        assert "rank 0 of 2 lost another rank" in nodes.said[0], nodes.said
        assert max(losses(parts), default=0) < 8
        nodes.train(tmp_path, *arguments(parts))
        assert [process.wait(120) for process in nodes.processes] == [0, 0], nodes.said
        assert losses(parts) == losses(whole)
