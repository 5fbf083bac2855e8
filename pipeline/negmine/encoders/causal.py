"""A causal language model of Hugging Face's layout: how likely texts are.

It is no encoder, since it gives numbers and no rows; it stands here as it is loaded as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from negmine.base.arrays import Floats
from negmine.base.errors import InputError, UsageError
from negmine.encoders.base import device, need
from negmine.store.places import source

FAMILY: Final = "hf"
PROMPT: Final = "A photo caption: "
"""What every text stands behind, so that a model of all kinds of text expects this one."""

BATCH: Final = 32
"""Texts scored at once."""

FILES: Final = ("*.json", "*.safetensors", "*.model", "*.txt")
"""What a model is read from. Weights are safetensors only, and no code of a folder ever runs."""


def pinned_judge(name: str) -> str:
    """``hf:FOLDER`` by its absolute place.

    Raises:
        UsageError: it is no such name, or not the folder of a model.
    """
    family, _, folder = name.partition(":")
    if family != FAMILY or not folder:
        raise UsageError(f"unknown judge {name!r}", fix="name hf:FOLDER, a causal language model on disk")
    place = Path(source(folder))
    if not (place / "config.json").is_file():
        raise UsageError(
            "this is not the folder of a model", where=folder, fix="it holds config.json and *.safetensors"
        )
    return f"{FAMILY}:{place}"


class CausalModel:
    """Log probabilities of texts by a causal language model.

    Attributes:
        folder: with ``config.json``, a tokenizer and ``*.safetensors``.
    """

    def __init__(self, name: str) -> None:
        self.folder = Path(pinned_judge(name).partition(":")[2])
        self._model: Any = None
        self._tokenizer: Any = None

    def identity(self) -> str:
        """sha256 over the model's files, in hexadecimal."""
        total = sha256()
        for file in sorted(file for pattern in FILES for file in self.folder.glob(pattern)):
            with file.open("rb") as content:
                total.update(file.name.encode() + file_digest(content, "sha256").digest())
        return total.hexdigest()

    def load(self) -> None:
        """Load tokenizer and weights, once a process.

        Raises:
            UsageError: transformers is not installed.
            InputError: the folder holds no causal language model that transformers reads without code of its own.
        """
        transformers, self._device = need("transformers", "transformers", "judge"), device()
        transformers.utils.logging.disable_progress_bar()
        kept = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder, **kept)
            made = transformers.AutoModelForCausalLM.from_pretrained(
                self.folder, use_safetensors=True, dtype="float32" if self._device == "cpu" else "bfloat16", **kept
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                "this is no causal language model that can be read",
                where=str(self.folder),
                why=str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__,
                fix="name a folder that transformers' AutoModelForCausalLM reads, with weights as safetensors",
            ) from error
        self._model = made.eval().to(self._device)

    def log_probabilities(self, texts: Sequence[str]) -> Floats:
        """Log probability of each text behind `PROMPT`, [N] float64, nats; each distinct text is scored once.

        Raises:
            InputError: the model gave a number that is not finite.
        """
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        found = dict(zip(distinct, self._scored(distinct), strict=True))
        bad = next((text for text in distinct if not np.isfinite(found[text])), None)
        if bad is not None:
            raise InputError(
                "the judge gave a probability that is not finite",
                where=str(self.folder),
                why=f"first: {bad!r}"[:200],
                fix="look at its weights, or name another --judge",
            )
        return np.array([found[text] for text in texts], dtype=np.float64)

    def _scored(self, texts: Sequence[str]) -> Iterator[float]:
        import torch

        tokens = self._tokenizer
        first = [] if tokens.bos_token_id is None else [tokens.bos_token_id]
        prompt = [*first, *tokens.encode(PROMPT, add_special_tokens=False)]
        for start in range(0, len(texts), BATCH):
            rows = [prompt + tokens.encode(text, add_special_tokens=False) for text in texts[start : start + BATCH]]
            ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, (given, known) in enumerate(zip(rows, mask, strict=True)):
                ids[row, : len(given)], known[: len(given)] = torch.tensor(given), 1
            ids, mask = ids.to(self._device), mask.to(self._device)
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask).logits[:, len(prompt) - 1 : -1].float()
                following = ids[:, len(prompt) :]
                chosen = logits.gather(-1, following[..., None])[..., 0] - logits.logsumexp(-1)
            yield from (chosen * mask[:, len(prompt) :]).sum(1).tolist()
