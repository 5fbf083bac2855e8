"""What is asked of a model while it trains, and which checkpoint answered best."""

from __future__ import annotations

from pathlib import Path

from negmine.contract.training_runs import BY_KIND

from ahnpl.data.shards import ShardSet
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.metrics import Pairs
from ahnpl.evaluation.run import Report, evaluate
from ahnpl.model import checkpoint as ckpt
from ahnpl.model.clip import ClipModel


def score(model: ClipModel, shards: ShardSet, max_bad: float) -> Report:
    """Accuracy against false captions, the 2x2 scores and retrieval, on held-out shards."""
    return evaluate(model, shard_items(shards), retrieval=True, max_bad=max_bad)


def numbers_of(report: Report) -> dict[str, float]:
    """What a row of metrics.jsonl says of an evaluation."""
    accuracy = (
        {"eval/accuracy": report.micro.share, "eval/accuracy, mean of kinds": report.macro} if report.kinds else {}
    )
    pairs = sum(report.pairs.values(), Pairs())
    groups = {"eval/2x2 group score": pairs.group / pairs.total} if pairs.total else {}
    recalls = {f"eval/{name}": value for name, value in report.retrieval.items() if name.endswith("R@1")}
    kinds = {f"{BY_KIND}{kind}": found.share for kind, found in report.kinds.items()}
    return {**accuracy, **groups, **recalls, **kinds}


def ranking_score(report: Report) -> tuple[float, str]:
    """The number by which checkpoints are compared, and its name."""
    if report.kinds:
        return report.micro.share, "accuracy against negatives"
    return report.retrieval["text to image R@1"], "text to image R@1"


def is_best(run: Path, report: Report) -> bool:
    """Whether no checkpoint of a run has scored as well."""
    best = ckpt.read_best(run)
    return best is None or ranking_score(report)[0] > best["score"]


def name_best(run: Path, checkpoint: Path, report: Report) -> None:
    """Write ``best.json``."""
    best, of = ranking_score(report)
    ckpt.write_json(run / ckpt.BEST_NAME, {"checkpoint": checkpoint.name, "score": best, "of": of})
