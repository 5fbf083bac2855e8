"""What the features look like: spread, gap and scores. Each is a pure function of unit features.

Sources: uniformity (Wang and Isola, ICML 2020) and tolerance, relative penalty (Wang and Liu, CVPR 2021); modality gap
(Liang et al., NeurIPS 2022); isotropy (Su and Xu, 2022); score statistics (Zhu et al., ICCV 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ahnpl.evaluation.png import write_png

SAMPLE: Final = 2_000
"""Images, and captions, that are compared all with all."""
MOST_FOILS: Final = 10_000
BINS: Final = 100
"""Of a histogram of cosines, over [-1, 1]."""


@dataclass(frozen=True)
class Diagnostics:
    """Numbers by name, and histograms of scores by whose they are.

    Attributes:
        histograms: counts ``[BINS]`` of the cosines of images with their own caption, its foils, and other captions.
    """

    numbers: Mapping[str, float]
    histograms: Mapping[str, Tensor]


def uniformity(features: Tensor, t: float = 2.0) -> float:
    """log of the mean over pairs of exp(-t d^2), ``[N, D]``: 0 if all are equal, lower the more evenly they spread."""
    squared = torch.pdist(features.double()).square()
    return float(torch.logsumexp(-t * squared, dim=0)) - math.log(len(squared))


def isotropy(features: Tensor) -> float:
    """1 minus the mean cosine of pairs of ``[N, D]``: 0 if all are equal, 1 if they are orthogonal."""
    number = len(features)
    total = features.double().sum(dim=0).square().sum() - features.double().square().sum()
    return 1 - float(total) / (number * (number - 1))


def tolerance(features: Tensor, labels: Tensor) -> float:
    """Mean cosine of pairs of ``[N, D]`` with equal labels ``[N]``; NaN if no two are equal."""
    same = (labels[:, None] == labels[None, :]).fill_diagonal_(False)
    return float((features @ features.T)[same].double().mean())


def modality_gap(images: Tensor, texts: Tensor) -> float:
    """Distance of the mean image ``[I, D]`` from the mean text ``[T, D]``."""
    return float((images.double().mean(dim=0) - texts.double().mean(dim=0)).norm())


def relative_penalty(scores: Tensor, temperature: float) -> Tensor:
    """The share of each negative ``[..., M]`` in the gradient of InfoNCE: softmax of its cosines."""
    shares: Tensor = torch.softmax(scores.double() / temperature, dim=-1)
    return shares


def effective_negatives(scores: Tensor, temperature: float) -> Tensor:
    """exp of the entropy of `relative_penalty`: M if all count alike, 1 if one decides."""
    shares = relative_penalty(scores, temperature)
    entropy: Tensor = torch.special.entr(shares).sum(dim=-1)
    return entropy.exp()


@dataclass
class Sampled:
    """What is false of the first captions and images, kept while items are scored.

    Attributes:
        captions: for each foil, the place of its caption.
        foils: features ``[D]``.
        images: for each image negative, the place of its image.
        twins: features ``[D]``.
    """

    captions: list[int] = field(default_factory=list)
    foils: list[Tensor] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    twins: list[Tensor] = field(default_factory=list)

    def add(self, caption: int, foils: Tensor) -> None:
        """Keep the foils ``[K, D]`` of a caption, while there is room."""
        if len(self.foils) + len(foils) <= MOST_FOILS:
            self.captions += [caption] * len(foils)
            self.foils += list(foils)

    def add_twin(self, image: int, twin: Tensor) -> None:
        """Keep the image negative ``[D]`` of an image, while there is room."""
        if len(self.twins) < SAMPLE:
            self.images.append(image)
            self.twins.append(twin)

    def diagnose(self, images: Tensor, texts: Tensor, owners: Tensor, temperature: float = 0.01) -> Diagnostics | None:
        """Everything above, on a sample; None of fewer than two images.

        Args:
            images: ``[I, D]`` unit features.
            texts: ``[T, D]``, the true captions.
            owners: ``[T]``, the image of each caption.
            temperature: of the effective number of negatives.
        """
        if len(images) < 2:
            return None
        some, captions, owner = images[:SAMPLE], texts[:SAMPLE], owners[:SAMPLE]
        numbers = _spread(some, "images") | _spread(captions, "captions")
        numbers |= {"modality gap": modality_gap(some, captions), "tolerance, captions": tolerance(captions, owner)}
        scores = captions @ some.T
        own = (texts[:SAMPLE] * images[owner]).sum(dim=1)
        wrong = torch.ones_like(scores, dtype=torch.bool)
        inside = owner < len(some)
        wrong[inside.nonzero()[:, 0], owner[inside]] = False
        histograms = {"own caption": _histogram(own), "other captions": _histogram(scores[wrong])}
        numbers |= _statistics(own, scores.masked_fill(~wrong, -torch.inf), temperature)
        if self.foils:
            foils, of = torch.stack(self.foils), torch.tensor(self.captions)
            false, true = ((rows * images[owners[of]]).sum(dim=1) for rows in (foils, texts[of]))
            histograms["its foils"] = _histogram(false)
            numbers |= {
                "foil, cosine with its image": float(false.mean()),
                "own caption, lead over a foil": float((true - false).mean()),
                "separability: cosine of caption and foil": separability(texts[of], foils),
                **_spread(foils[:SAMPLE], "foils"),
            }
        if self.twins:
            twins, theirs = torch.stack(self.twins), images[torch.tensor(self.images)]
            numbers |= {
                "separability: cosine of image and image negative": separability(theirs, twins),
                **_spread(twins, "image negatives"),
            }
        return Diagnostics({name: value for name, value in numbers.items() if value == value}, histograms)


def separability(true: Tensor, false: Tensor) -> float:
    """Mean cosine of captions ``[N, D]`` and a foil of each, or of images: near 1, the tower tells few apart."""
    return float((true * false).sum(dim=1).double().mean())


def _spread(features: Tensor, what: str) -> dict[str, float]:
    if len(features) < 2:
        return {}
    return {f"uniformity, {what}": uniformity(features), f"isotropy, {what}": isotropy(features)}


def _statistics(own: Tensor, others: Tensor, temperature: float) -> dict[str, float]:
    """Of the cosines of captions with their images ``[N]`` and with other images ``[N, I]`` (-inf: left out)."""
    there = torch.isfinite(others)
    number = there.sum(dim=1)
    kept = number > 0
    others, number = others[kept], number[kept]
    means = others.masked_fill(~there[kept], 0).sum(dim=1) / number
    variances = (others - means[:, None]).square().masked_fill(~there[kept], 0).sum(dim=1) / number
    return {
        "own caption, cosine": float(own.mean()),
        "other images, cosine with a caption": float(means.mean()),
        "other images, variance for a caption": float(variances.mean()),
        f"effective number of {int(number.max()):,} others at {temperature:g}": float(
            effective_negatives(others, temperature).mean()
        ),
    }


def _histogram(cosines: Tensor) -> Tensor:
    return torch.histc(cosines.float().clamp(-1, 1), BINS, min=-1, max=1).long()


def draw_histograms(found: Diagnostics, path: Path) -> Path:
    """Draw how the scores of own captions, foils and other captions lie, each as a density."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    edges = torch.linspace(-1, 1, BINS + 1).tolist()
    colours = {"own caption": "tab:green", "its foils": "tab:red", "other captions": "tab:gray"}
    for name, colour in colours.items():
        if name in found.histograms:
            counts = found.histograms[name].double()
            density = (counts / counts.sum() * BINS / 2).tolist()
            label = f"{name} ({int(counts.sum()):,})"
            axis.stairs(density, edges, color=colour, fill=True, alpha=0.35)
            axis.stairs(density, edges, color=colour, label=label)
    shown = torch.stack(list(found.histograms.values())).sum(dim=0).nonzero()[:, 0]
    margin = 3
    axis.set_xlim(edges[max(int(shown.min()) - margin, 0)], edges[min(int(shown.max()) + 1 + margin, BINS)])
    axis.set(xlabel="cosine of image and text", ylabel="density", title="scores")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    return write_png(figure, path)
