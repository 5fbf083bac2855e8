"""A model that ``ahnpl-train`` is training or has trained: mine again with what it has learned."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from negmine.errors import UsageError
from negmine.retrieval.encoders.base import Modality
from negmine.retrieval.encoders.openclip import OpenClip
from negmine.store import file_sha256

WEIGHTS: Final = "open_clip_model.safetensors"
_STEPS: Final = "checkpoints"


class Checkpoint(OpenClip):
    """Named ``checkpoint:PATH``: a checkpoint's folder, or a run's, whose latest checkpoint counts."""

    def __init__(self, argument: str, modality: Modality) -> None:
        super().__init__(f"local-dir:{argument}", modality)
        self._path = Path(argument)

    def identity(self) -> str:
        folder = self._folder()
        return f"{file_sha256(folder / WEIGHTS)}, open_clip {self.version()}"

    def load(self) -> None:
        self._name, self._weights = f"local-dir:{self._folder()}", ""
        super().load()

    def _folder(self) -> Path:
        """The checkpoint's folder; of steps the last.

        Raises:
            UsageError: there is none.
        """
        found = [self._path, *sorted((self._path / _STEPS).glob("step-*"), reverse=True)]
        folder = next((one for one in found if (one / WEIGHTS).is_file()), None)
        if folder is None:
            raise UsageError(
                "there is no checkpoint here",
                where=str(self._path),
                why=f"neither {WEIGHTS} nor {_STEPS}/step-*/{WEIGHTS}",
                fix="name the folder of an ahnpl-train run, or of one of its checkpoints",
            )
        return folder
