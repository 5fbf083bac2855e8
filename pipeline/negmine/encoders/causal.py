"""A causal language model of Hugging Face's layout: how likely texts are.

It is no encoder, since it gives numbers and no rows; it stands here as it is loaded as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from negmine.base.arrays import Floats
from negmine.base.errors import InputError, UsageError
from negmine.base.extras import need
from negmine.encoders.base import device
from negmine.store.places import source

FAMILY: Final = "hf"
PROMPT: Final = "A photo caption: "
"""What every text stands behind, so that a model of all kinds of text expects this one."""

BATCH: Final = 512
"""Tokens scored at once, about: a model of 262,144 words gives half a gigabyte of logits for them."""

FILES: Final = ("*.json", "*.safetensors", "*.model", "*.txt")
"""What a model is read from. Weights are safetensors only, and no code of a folder ever runs."""

_LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}


def pinned_judge(name: str) -> str:
    """``hf:FOLDER`` by its absolute place.

    Raises:
        UsageError: it is no such name, or not the folder of a model.
    """
    family, _, folder = name.partition(":")
    if family != FAMILY or not folder:
        raise UsageError(f"unknown judge {name!r}", fix="name hf:FOLDER, a causal language model on disk")
    place = Path(source(folder))
    if not (place / "config.json").is_file() or not any(place.glob("*.safetensors")):
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
        """sha256 over the model's files, in hexadecimal.

        Raises:
            UsageError: transformers is not installed.
            InputError: see `load`.
        """
        transformers, total = need("transformers", "transformers", "judge"), sha256()
        with self._explained():
            kind = type(transformers.AutoConfig.from_pretrained(self.folder, **_LOCAL))
            if kind not in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
                raise ValueError(f"{kind.__name__} is of no causal language model")
        for file in sorted(file for pattern in FILES for file in self.folder.glob(pattern)):
            with file.open("rb") as content:
                total.update(file.name.encode() + file_digest(content, "sha256").digest())
        return total.hexdigest()

    def load(self) -> None:
        """Load tokenizer and weights, once a process.

        Raises:
            UsageError: transformers is not installed.
            InputError: the folder holds no causal language model that transformers reads without code of its own:
                weights or the tokenizer are missing, or a word's number depends on the words behind it.
        """
        transformers, self._device = need("transformers", "transformers", "judge"), device()
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()
        kind = "float32" if self._device == "cpu" else "bfloat16"
        with self._explained():
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder, **_LOCAL)
            read = partial(transformers.AutoModelForCausalLM.from_pretrained, output_loading_info=True, **_LOCAL)
            model, told = read(self.folder, use_safetensors=True, dtype=kind)
            if told["missing_keys"]:
                raise ValueError(f"weights are missing: {', '.join(sorted(told['missing_keys'])[:3])} ...")
            self._model = model.eval().to(self._device)
            self._check()

    def _check(self) -> None:
        """Raise ValueError unless there is a tokenizer, and no word's number depends on the words behind it."""
        import torch

        ids = torch.tensor([self._tokenizer.encode(PROMPT, add_special_tokens=False)] * 2, device=self._device)
        if ids.shape[1] < 2:
            raise ValueError("its tokenizer is missing: it makes nothing of a text")
        ids[1, -1] = ids[1, 0]
        with torch.inference_mode():
            one, other = self._model(input_ids=ids).logits[:, :-1].float()
        rounding = max(1e-5, 2 * torch.finfo(self._model.dtype).eps)
        if not torch.allclose(one, other, rtol=0, atol=rounding * float(one.abs().max())):
            raise ValueError("it looks at the words behind a word too, so that it tells no probabilities of texts")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a stranger's folder makes transformers raise whatever there is
            raise InputError(
                "this is no causal language model that can be read",
                where=str(self.folder),
                why=next(iter(str(error).strip().splitlines()), type(error).__name__)[:200],
                fix="name a folder that transformers' AutoModelForCausalLM reads, with weights as safetensors",
            ) from error

    def log_probabilities(self, texts: Sequence[str]) -> Floats:
        """Log probability of each text behind `PROMPT`, [N] float64, nats; each distinct text is scored once.

        Of a text that is longer than the model's context, that of the beginning.

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
        most = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        rows = [(prompt + tokens.encode(text, add_special_tokens=False))[:most] for text in texts]
        if max((max(row) for row in rows), default=0) >= self._model.get_input_embeddings().num_embeddings:
            raise InputError(
                "the judge's tokenizer knows more words than its model",
                where=str(self.folder),
                fix="name a folder whose tokenizer and weights belong together",
            )
        for batch in _batches(rows):
            ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for given, row, known in zip(batch, ids, mask, strict=True):
                row[: len(given)], known[: len(given)] = torch.tensor(given), 1
            ids, mask = ids.to(self._device), mask.to(self._device)
            with torch.inference_mode():
                logits = self._model(input_ids=ids, attention_mask=mask).logits[:, len(prompt) - 1 : -1].float()
                following = ids[:, len(prompt) :]
                chosen = logits.gather(-1, following[..., None])[..., 0] - logits.logsumexp(-1)
            yield from (chosen * mask[:, len(prompt) :]).sum(1).tolist()


def _batches(rows: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Rows in their order, as many at once as make `BATCH` tokens with what fills them up; one at least."""
    batch: list[Sequence[int]] = []
    for row in rows:
        if batch and max(len(row), *map(len, batch)) * (len(batch) + 1) > BATCH:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
