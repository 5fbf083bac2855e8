"""What is said of a run: before it, and at its end."""

from __future__ import annotations

from ahnpl.evaluation.run import FOILS
from ahnpl.model.clip import ClipModel, parameter_counts
from ahnpl.training.loop import TrainResult
from ahnpl.training.plan import Plan


def planned(plan: Plan, model: ClipModel) -> dict[str, object]:
    """What will be trained, on what."""
    return {
        "model": plan.config.model,
        "parameters": parameter_counts(model),
        "recipe": plan.loss.recipe.name,
        "device and precision": f"{plan.device.type}, {plan.precision}",
        "shards": len(plan.shards.shards),
        "samples": plan.shards.samples,
        **({"rows that cannot be used": dict(plan.shards.refused)} if plan.shards.refused else {}),
        "negatives per caption": plan.negatives,
        "image negatives per caption": plan.image_negatives,
        **({"positives per caption": plan.positives} if plan.positives else {}),
    }


def trained(result: TrainResult) -> dict[str, object]:
    """What was trained, and how well."""
    figures: dict[str, object] = {"steps": result.steps, "of these by earlier runs": result.resumed}
    if result.samples:
        figures |= {"samples/s": result.samples / result.seconds, "bad samples left out": result.bad.total()}
        figures |= {f"of these with {kind}": number for kind, number in sorted(result.bad.items())}
    if result.passed_over:
        figures["images in the tars of --images that the sidecar has nothing for"] = sum(result.passed_over.values())
        figures["tars that were read to their end, where these were counted"] = len(result.passed_over)
    if result.legible.alike:
        figures["negatives read"] = result.legible.total
        figures["of these equal to a true caption for this model, left out"] = result.legible.alike
    if result.report is not None and result.report.kinds:
        figures["accuracy on held-out images (micro, ties wrong)"] = result.report.micro.share
        foils = result.report.measure(FOILS)
        if foils.alike:
            figures["of these items, equal for this model"] = foils.alike
            figures["accuracy over the others"] = foils.legible.share
    return figures
