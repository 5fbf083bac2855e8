"""Contrastive losses with hard negatives: every method is a recipe over one row kernel.

from ahnpl.losses import Features, build_loss

loss = build_loss("ahnpl")
out = loss(Features(image, text, logit_scale, text_negatives=negatives, text_valid=valid))
out.total.backward()
"""

from ahnpl.losses.build import RecipeLoss, build_loss, list_recipes
from ahnpl.losses.features import Features, LossOut
from ahnpl.losses.teachers import TeacherSpec

__all__ = ["Features", "LossOut", "RecipeLoss", "TeacherSpec", "build_loss", "list_recipes"]
