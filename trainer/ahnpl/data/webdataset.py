"""Our shards as a `webdataset` pipeline, for training loops of one's own.

`ahnpl-train` reads shards by itself, because it resumes to the sample and checks what it reads; this is for everybody
else. The tars, the splitting over nodes and workers, shuffling and errors are webdataset's, the fields are ours:

    from ahnpl.data.webdataset import hard_negatives

    samples = hard_negatives("data/*.tar", preprocess, tokenizer, negatives=4, shuffle=1000)
    for batch in torch.utils.data.DataLoader(samples, batch_size=256, num_workers=4):
        batch["image"]       # [B, 3, S, S]
        batch["text"]        # [B, L]
        batch["negatives"]   # [B, 4, L], of which batch["valid"] [B, 4] are there
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import torch
import webdataset
from negmine.contract.records import KINDS, Sample
from negmine.contract.shard_format import decode_sample
from negmine.images.decode import decode
from negmine.store.file_systems import file_system
from PIL import Image
from torch import Tensor
from webdataset.tariterators import group_by_keys, tar_file_expander

from ahnpl.data.shards import open_shards

Transform = Callable[[Image.Image], Tensor]
Tokenizer = Callable[[list[str]], Tensor]


def hard_negatives(
    shards: str | Sequence[str],
    transform: Transform,
    tokenizer: Tokenizer,
    *,
    negatives: int,
    image_negatives: int = 0,
    shuffle: int = 0,
    seed: int = 0,
    handler: Callable[[Exception], bool] = webdataset.reraise_exception,
) -> webdataset.DataPipeline:
    """Samples with their negatives in slots of fixed number, which any collate function stacks.

    Args:
        shards: paths, patterns, or addresses of tars that `negmine shard` wrote.
        transform: an RGB image to a tensor, e.g. open_clip's ``preprocess``.
        tokenizer: texts to ``[n, L]``, e.g. ``open_clip.get_tokenizer(MODEL)``.
        negatives: K, slots of text negatives; those of later slots are left out.
        image_negatives: J, slots of images that the caption is false of.
        shuffle: samples in the shuffle buffer, the shards in another order each epoch; 0 keeps the order.
        seed: of the order of the shards.
        handler: what is done about a sample that is damaged, e.g. ``webdataset.warn_and_continue``; else it is raised.

    Yields:
        dictionaries with ``key`` and ``image_id`` (texts), ``image`` (what `transform` gives), ``text`` ``[L]``,
        ``negatives`` ``[K, L]``, ``valid`` ``[K]`` bool, ``kinds`` ``[K]`` positions in ``records.KINDS`` (-1 where
        there is none), and where J > 0 ``image_negatives`` ``[J, ...]``, ``image_negative_texts`` ``[J, L]`` and
        ``image_valid`` ``[J]``.

    Raises:
        UsageError: a pattern that names no file, or a sidecar.
        DamagedError: while reading: a sample that lacks a member or has one of another type.
        BadImageError: while reading: an image that cannot be decoded.
    """
    urls = [shard.url for shard in open_shards([shards] if isinstance(shards, str) else shards).shards]
    make = partial(_example, transform, tokenizer, negatives, image_negatives)
    stages: list[object] = [webdataset.SimpleShardList(urls)]
    if shuffle:
        stages.append(webdataset.detshuffle(bufsize=len(urls), initial=len(urls), seed=seed))
    stages += [webdataset.split_by_node, webdataset.split_by_worker, _opened]
    stages += [partial(tar_file_expander, handler=handler), partial(group_by_keys, handler=handler)]
    if shuffle:
        stages.append(webdataset.shuffle(shuffle))
    return webdataset.DataPipeline(*stages, webdataset.map(make, handler=handler))


def _opened(shards: Iterable[Mapping[str, str]]) -> Iterator[dict[str, object]]:
    """The tars as streams: webdataset would open addresses through a shell."""
    for shard in shards:
        files, path = file_system(shard["url"])
        with files.open(path, "rb") as stream:
            yield {"url": shard["url"], "stream": stream}


def _example(
    transform: Transform, tokenizer: Tokenizer, negatives: int, image_negatives: int, members: Mapping[str, str | bytes]
) -> Mapping[str, object]:
    sample = _decoded(members)
    slots = {negative.slot: negative for negative in sample.negatives if negative.slot < negatives}
    others = list(zip(sample.image_negatives, sample.image_negative_bytes, strict=True))[:image_negatives]
    texts = [slots[slot].text if slot in slots else "" for slot in range(negatives)]
    captions = [other.caption for other, _ in others] + [""] * (image_negatives - len(others))
    tokens = tokenizer([sample.caption, *texts, *captions])
    image = transform(decode(sample.image).rgb)
    example = {
        "key": sample.key,
        "image_id": sample.image_id,
        "image": image,
        "text": tokens[0],
        "negatives": tokens[1 : 1 + negatives],
        "valid": torch.tensor([slot in slots for slot in range(negatives)], dtype=torch.bool),
        "kinds": torch.tensor([_kind(slots[slot].kind) if slot in slots else -1 for slot in range(negatives)]),
    }
    if image_negatives:
        seen = [transform(decode(content).rgb) for _, content in others]
        blank = [torch.zeros_like(image)] * (image_negatives - len(seen))
        example |= {
            "image_negatives": torch.stack([*seen, *blank]),
            "image_negative_texts": tokens[1 + negatives :],
            "image_valid": torch.tensor([place < len(seen) for place in range(image_negatives)]),
        }
    return example


def _decoded(members: Mapping[str, str | bytes]) -> Sample:
    """A sample of webdataset's, checked as ours are."""
    contents = {name: content for name, content in members.items() if isinstance(content, bytes)}
    return decode_sample(str(members["__key__"]), contents, str(members["__url__"]))


def _kind(name: str) -> int:
    return KINDS.index(name) if name in KINDS else -1
