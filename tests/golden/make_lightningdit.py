"""Write lightningdit_small.safetensors: outputs of tiny models with the golden rule's weights.

Run it (`python tests/golden/make_lightningdit.py`) only after the code agrees with the published models'
vectors, because it makes whatever the code computes the new truth. Constructor arguments are in the file's
metadata.
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from conftest import reference_tensor, reference_weights_  # noqa: E402

from models.lightningdit import LightningDiT  # noqa: E402

BASE = dict(
    input_size=4, patch_size=1, in_channels=4, hidden_size=32, depth=2, num_heads=4, num_classes=5,
    use_swiglu=True, use_rope=True, use_rmsnorm=True,
)  # fmt: skip
PLAIN = {"use_swiglu": False, "use_rope": False, "use_rmsnorm": False}
VARIANTS = {
    "official_p1": {},
    "official_p2": {"patch_size": 2},
    "qknorm": {"use_qknorm": True},
    "wo_shift": {"patch_size": 2, "wo_shift": True},
    "plain": {"patch_size": 2, **PLAIN},
    "plain_qknorm": {**PLAIN, "use_qknorm": True},
    "learn_sigma": {"patch_size": 2, "learn_sigma": True},
}


@torch.no_grad()
def main() -> None:
    """Compute every variant on one input and write the file beside this script."""
    x = reference_tensor("x", (3, 4, 4, 4)) * 8  # the rule divides by sqrt(4·4·4)
    t, y = torch.tensor([0.0, 0.3, 0.9]), torch.tensor([0, 3, 5])
    tensors = {"x": x, "t": t, "y": y}
    arguments = {name: {**BASE, **changes} for name, changes in VARIANTS.items()}
    for name, kwargs in arguments.items():
        tensors[name] = reference_weights_(LightningDiT(**kwargs))(x, t, y).contiguous()
    target = HERE / "lightningdit_small.safetensors"
    partial = target.with_suffix(".partial")
    save_file(tensors, partial, metadata={"kwargs": json.dumps(arguments)})
    os.replace(partial, target)
    print(f"wrote {target.name}: {target.stat().st_size} bytes, {len(arguments)} variants")


if __name__ == "__main__":
    main()
