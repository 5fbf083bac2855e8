"""A training loop of one's own, with open_clip and webdataset: `python examples/own_loop.py 'data/*.tar'`."""

import sys

import negmine.encoders.towers  # noqa: F401  small models to try it with: tiny, tiny-conv
import open_clip
import torch
from ahnpl.data.webdataset import hard_negatives
from torch.nn.functional import cross_entropy, normalize


def main(shards: str, name: str = "tiny", steps: int = 10) -> None:
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    samples = hard_negatives(shards, preprocess, tokenizer, negatives=4, shuffle=1000)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5)
    for step, batch in zip(range(steps), torch.utils.data.DataLoader(samples, batch_size=16), strict=False):
        image = normalize(model.encode_image(batch["image"]), dim=-1)  # [B, D]
        texts = torch.cat([batch["text"][:, None], batch["negatives"]], dim=1)  # [B, 1 + K, L]
        text = normalize(model.encode_text(texts.flatten(0, 1)), dim=-1).unflatten(0, texts.shape[:2])
        # Every image tells its caption from all captions of the batch, and from its own K negatives (NegCLIP).
        scale = model.logit_scale.exp()
        own = (scale * torch.einsum("bd,bkd->bk", image, text[:, 1:])).masked_fill(~batch["valid"], -torch.inf)
        logits = torch.cat([scale * image @ text[:, 0].T, own], dim=1)
        loss = cross_entropy(logits, torch.arange(len(image)))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        print(f"step {step}: {loss.item():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
