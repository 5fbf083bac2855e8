"""What goes into a loss and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from negmine.base.errors import UsageError
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """The features of one batch. Rows are unit vectors; negatives are always ``[B, K, D]``, never flat.

    Attributes:
        image: ``[B, D]``.
        text: ``[B, D]``, row i is the true caption of image i.
        logit_scale: the multiplier s itself (exponentiated and clamped), a scalar.
        rows: the samples that ask, of all that are there; None for all. For terms that are `row_wise`.
        logit_bias: what a model adds to its logits, a scalar; None where it has none. Sigmoid losses read it.
        text_negatives: ``[B, K, D]``, false captions of image i.
        text_valid: ``[B, K]`` bool, False where a sample has no such negative; None means that all exist.
        image_negatives: ``[B, J, D]``, images for which caption i is false.
        image_valid: ``[B, J]`` bool, likewise.
        image_negative_texts: ``[B, J, D]``, the true captions of these images.
        text_positives: ``[B, P, D]``, texts that are true of image i beside its caption.
        positive_valid: ``[B, P]`` bool, False where a sample has no such text.
        positive_ids: ``[B, P]`` integers, equal for equal texts, and comparable with `text_ids`.
        teacher_image, teacher_text, teacher_text_negatives: ``[B, D']`` and ``[B, K, D']`` of a teacher, without
            gradient; see `teachers.TeacherSpec`.
        teacher_logit_scale: the teacher's s, a scalar.
        text_ids: ``[B, 1 + J]`` integers, equal for equal captions: the own one, then those of image negatives.
        kinds: ``[B, K]`` integers, the position of each negative's kind in ``negmine.contract.records.KINDS``.
        image_ids: ``[B]`` integers, equal for captions of one image.
        structure, surface: ``[B, B]`` in [0, 1], how alike captions are in what they say of what, and in their letters.

    Raises:
        UsageError: shapes that do not belong together, by name.
    """

    image: Tensor
    text: Tensor
    logit_scale: Tensor
    text_negatives: Tensor | None = None
    text_valid: Tensor | None = None
    image_negatives: Tensor | None = None
    image_valid: Tensor | None = None
    kinds: Tensor | None = None
    image_ids: Tensor | None = None
    image_negative_texts: Tensor | None = None
    text_ids: Tensor | None = None
    text_positives: Tensor | None = None
    positive_valid: Tensor | None = None
    positive_ids: Tensor | None = None
    teacher_image: Tensor | None = None
    teacher_text: Tensor | None = None
    teacher_text_negatives: Tensor | None = None
    teacher_logit_scale: Tensor | None = None
    structure: Tensor | None = None
    surface: Tensor | None = None
    logit_bias: Tensor | None = None
    rows: slice | None = None

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.shape != self.text.shape:
            raise _shape_error("image and text must both be [B, D]", image=self.image, text=self.text)
        if self.logit_scale.numel() != 1:
            raise _shape_error("logit_scale must be a scalar", logit_scale=self.logit_scale)
        if self.image_ids is not None and self.image_ids.shape != self.image.shape[:1]:
            raise _shape_error("image_ids must be [B]", image_ids=self.image_ids, image=self.image)
        square = (len(self.image), len(self.image))
        for name in ("structure", "surface"):
            if (found := getattr(self, name)) is not None and found.shape != square:
                raise _shape_error(f"{name} must be [B, B]", **{name: found}, image=self.image)
        self._check_negatives("text_negatives", "text_valid", "kinds")
        self._check_negatives("text_positives", "positive_valid", "positive_ids")
        self._check_negatives("image_negatives", "image_valid")
        self._check_negatives("image_negative_texts", "image_valid")
        self._check_teacher()

    def _check_negatives(self, name: str, *masks: str) -> None:
        negatives = getattr(self, name)
        if negatives is None:
            return
        batch, width = self.image.shape
        if negatives.ndim != 3 or negatives.shape[0] != batch or negatives.shape[2] != width:
            raise _shape_error(f"{name} must be [B, K, D]", **{name: negatives}, image=self.image)
        for mask_name in masks:
            mask = getattr(self, mask_name)
            if mask is not None and mask.shape != negatives.shape[:2]:
                raise _shape_error(f"{mask_name} must be [B, K]", **{mask_name: mask}, **{name: negatives})

    def _check_teacher(self) -> None:
        for name in ("teacher_image", "teacher_text"):
            found = getattr(self, name)
            if found is not None and (found.ndim != 2 or len(found) != len(self.image)):
                raise _shape_error(f"{name} must be [B, D']", **{name: found}, image=self.image)
        found, like = self.teacher_text_negatives, self.text_negatives
        if found is not None and (like is None or found.shape[:2] != like.shape[:2]):
            raise _shape_error(
                "teacher_text_negatives must be [B, K, D']", teacher_text_negatives=found, image=self.image
            )

    def teacher(self, name: str) -> Tensor:
        """The teacher's ``image``, ``text`` or ``text_negatives``, detached.

        Raises:
            UsageError: the batch has none.
        """
        found: Tensor | None = getattr(self, f"teacher_{name}")
        if found is None:
            raise UsageError(
                f"this recipe needs a teacher's {name}, and the batch has none", fix=f"pass teacher_{name}"
            )
        return found.detach()

    def asking(self, tensor: Tensor) -> Tensor:
        """Of a value for each sample ``[B, ...]``, those of the samples that ask."""
        return tensor if self.rows is None else tensor[self.rows]

    def upcast(self) -> Features:
        """The same features in float32 at least; float64 stays float64."""
        names = (
            "image",
            "text",
            "logit_scale",
            "logit_bias",
            "text_negatives",
            "text_positives",
            "image_negatives",
            "image_negative_texts",
            "teacher_image",
            "teacher_text",
            "teacher_text_negatives",
            "teacher_logit_scale",
        )
        tensors = {name: getattr(self, name) for name in names}
        half = (torch.float16, torch.bfloat16)
        return replace(self, **{n: t.float() for n, t in tensors.items() if t is not None and t.dtype in half})


@dataclass(frozen=True)
class LossOut:
    """A loss and what it is made of.

    Attributes:
        total: scalar, the weighted sum of `parts` (the weights are ``RecipeLoss.weights``).
        parts: name to scalar, before weighting.
        stats: name to a detached scalar or vector worth logging, such as the margins in force.
    """

    total: Tensor
    parts: dict[str, Tensor]
    stats: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A scalar loss of one term and what is worth logging of it."""

    value: Tensor
    stats: dict[str, Tensor] = field(default_factory=dict)


def _shape_error(rule: str, **tensors: Tensor) -> UsageError:
    shapes = ", ".join(f"{name} has shape {tuple(tensor.shape)}" for name, tensor in tensors.items())
    return UsageError(rule, why=shapes)
