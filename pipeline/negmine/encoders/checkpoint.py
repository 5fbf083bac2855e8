"""A model that ``ahnpl-train`` is training or has trained: mine again with what it has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
from negmine.encoders.base import Modality
from negmine.encoders.clip_models import LOCAL, WEIGHTS_NAME, read_config
from negmine.encoders.hugging_face import HF_WEIGHTS
from negmine.encoders.openclip import OpenClip
from negmine.store import file_sha256

_STEPS: Final = "checkpoints"


def latest(path: Path) -> Path:
    """The checkpoint's folder that a path means: itself, or of a run's steps the last.

    Raises:
        UsageError: there is none.
    """
    found = [path, *sorted((path / _STEPS).glob("step-*"), reverse=True)]
    folder = next((one for one in found if (one / WEIGHTS_NAME).is_file()), None)
    if folder is None and any((one / HF_WEIGHTS).is_file() for one in found):
        raise UsageError(
            "Hugging Face models are no encoders here", where=str(path), fix="train an open_clip model to mine with it"
        )
    if folder is None:
        raise UsageError(
            "there is no checkpoint here",
            where=str(path),
            why=f"neither {WEIGHTS_NAME} nor {_STEPS}/step-*/{WEIGHTS_NAME}",
            fix="name the folder of an ahnpl-train run, or of one of its checkpoints",
        )
    return folder


class Checkpoint(OpenClip):
    """Named ``checkpoint:PATH``: a checkpoint's folder, or a run's, whose latest checkpoint counts.

    A run that goes on writes others: `negmine.encoders.pinned` says which one it was.
    """

    def __init__(self, argument: str, modality: Modality) -> None:
        self._folder = latest(Path(argument))
        super().__init__(f"{LOCAL}{self._folder}", modality)

    def identity(self) -> str:
        read_config(self._folder)  # refuses one that says more than a model's
        return f"{file_sha256(self._folder / WEIGHTS_NAME)}, open_clip {self.version()}"

    def load(self) -> None:
        self._name, self._weights = f"{LOCAL}{self._folder}", ""
        super().load()
