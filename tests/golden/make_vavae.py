"""Regenerate vavae_small.safetensors (`python tests/golden/make_vavae.py`), once the published vectors agree.

Two small members with the golden rule's weights, one for each `patch_size`, on one image.
"""

import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER.parents[1])]

from conftest import reference_weights_  # noqa: E402

from tokenizer.autoencoder import AutoencoderKL  # noqa: E402

SMALL = dict(embed_dim=8, ch_mult=(1, 2), ch=32, num_res_blocks=1, attn_resolutions=(16,), resolution=32)


@torch.no_grad()
def small_vectors() -> dict[str, torch.Tensor]:
    """Image, and posterior mean, logvar and decoded mean of each member."""
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    vectors = {"image": image}
    for patch_size in (1, 2):
        model = reference_weights_(AutoencoderKL(**SMALL, patch_size=patch_size))
        posterior = model.encode(image)
        vectors |= {f"patch{patch_size}.mean": posterior.mean.contiguous(),
                    f"patch{patch_size}.logvar": posterior.logvar,
                    f"patch{patch_size}.decoded": model.decode(posterior.mean)}
    return vectors


if __name__ == "__main__":
    target = FOLDER / "vavae_small.safetensors"
    target.with_suffix(".tmp").write_bytes(save(small_vectors()))
    os.replace(target.with_suffix(".tmp"), target)
    print(f"wrote {target.name}: {target.stat().st_size / 1e3:.0f} kB")
