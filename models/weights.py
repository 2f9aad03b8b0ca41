"""Published LightningDiT weights: reading the file, reading the architecture off it, strict loading.

Nothing is guessed and nothing is loaded partially: what cannot be read is an error that names it.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from configs.errors import UserError
from models.layers import feed_forward_width
from models.lightningdit import LightningDiT, LightningDiT_models
from weight_files.reading import WeightFile, load_strict

_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")  # left by distributed and compiled modules
EXPECTED = "expected a LightningDiT checkpoint (.pt) with weights under 'ema', under 'model', or at the top"
# Label dropout leaves no trace in the weights but the null row; published models were trained with this much.
ASSUMED_CLASS_DROPOUT = 0.1
CLASS_TABLE = "y_embedder.embedding_table.weight"
CONDITION_TABLE = "y_embedder.condition_table.weight"
VECTORS = "y_embedder.vectors"  # of networks with references


def read_dit_state(path: str | Path) -> dict[str, Tensor]:
    """Weights by name from a published `.pt`: its `ema`, else its `model`, else the file's own top level.

    Prefixes left by distributed or compiled wrappers are removed. Only tensors and plain containers are read,
    never code. Raises FileNotFoundError for a missing file, UserError for one that is empty, damaged or
    without weights.
    """
    file = WeightFile(Path(path), "model file", EXPECTED)
    content = file.torch()
    if isinstance(content, Mapping):
        layouts = (content.get("ema"), content.get("model"))
        content = next((part for part in layouts if isinstance(part, Mapping) and part), content)
    return {_WRAPPERS.sub("", name): value for name, value in file.named(content).items()}


def infer_architecture(state: Mapping[str, Tensor], num_heads: int | None = None) -> dict[str, Any]:
    """Constructor arguments of the LightningDiT that `state` was saved from, read off its names and shapes.

    Three are not in the weights. The label dropout is taken to be 0.1, because published models hold the null
    row (so the classes are the table's rows but one). `use_checkpoint` is off. `num_heads` follows from the
    head dimension, where rotary tables or query norms show it, else from the preset of the same depth and
    width, else it must be given.

    Raises UserError naming what could not be read, or a given `num_heads` that the weights contradict.
    """
    hidden_size, in_channels, patch_size, _ = _shape(state, "x_embedder.proj.weight", 4)
    _, num_tokens, _ = _shape(state, "pos_embed", 3)
    side = math.isqrt(num_tokens)
    if side**2 != num_tokens:
        raise UserError(f"'pos_embed' has {num_tokens} tokens, no square: not LightningDiT weights")
    depth = _depth(state)
    use_swiglu = "blocks.0.mlp.w12.weight" in state
    width = _shape(state, "blocks.0.mlp.w3.weight" if use_swiglu else "blocks.0.mlp.fc2.weight", 2)[1]
    out_features = _shape(state, "final_layer.linear.weight", 2)[0]
    return {
        "input_size": side * patch_size,
        "patch_size": patch_size,
        "in_channels": in_channels,
        "hidden_size": hidden_size,
        "depth": depth,
        "num_heads": _num_heads(state, depth, hidden_size, num_heads),
        "mlp_ratio": _mlp_ratio(hidden_size, width, use_swiglu),
        "class_dropout_prob": ASSUMED_CLASS_DROPOUT,
        "num_classes": _shape(state, people_table(state), 2)[0] - 1,
        "learn_sigma": out_features == 2 * patch_size**2 * in_channels,
        "use_qknorm": "blocks.0.attn.q_norm.weight" in state,
        "use_swiglu": use_swiglu,
        "use_rope": "feat_rope.freqs_cos" in state,
        "use_rmsnorm": "blocks.0.norm1.weight" in state,
        "wo_shift": _shape(state, "blocks.0.adaLN_modulation.1.weight", 2)[0] == 4 * hidden_size,
        "use_checkpoint": False,
        "combinations": None,
        "flow_map": "span_embedder.mlp.0.weight" in state,
        "references": VECTORS in state,
    }


def people_table(state: Mapping[str, Tensor]) -> str:
    """Name of the weights that have a row for each class and one for none."""
    return VECTORS if VECTORS in state else CLASS_TABLE


def _shape(state: Mapping[str, Tensor], name: str, num_axes: int) -> tuple[int, ...]:
    if name not in state:
        raise UserError(f"not LightningDiT weights: no '{name}' among {len(state)} names")
    shape = tuple(state[name].shape)
    if len(shape) != num_axes or 0 in shape:
        raise UserError(f"not LightningDiT weights: '{name}' is {shape}, expected {num_axes} non-empty axes")
    return shape


def _depth(state: Mapping[str, Tensor]) -> int:
    numbers = {int(match[1]) for match in map(re.compile(r"blocks\.(\d+)\.").match, state) if match}
    if numbers != set(range(len(numbers))):
        missing = min(set(range(len(numbers))) - numbers)
        raise UserError(f"partial LightningDiT weights: no 'blocks.{missing}.' below block {max(numbers)}")
    return len(numbers)


def _num_heads(state: Mapping[str, Tensor], depth: int, hidden_size: int, given: int | None) -> int:
    num_heads = _shown_num_heads(state, hidden_size)
    if num_heads is None:
        presets = [build.keywords for build in LightningDiT_models.values()]
        heads = {(preset["depth"], preset["hidden_size"]): preset["num_heads"] for preset in presets}
        num_heads = heads.get((depth, hidden_size)) if given is None else given
    if num_heads is None:
        raise UserError(
            "num_heads cannot be read: no 'feat_rope.freqs_cos', no 'blocks.0.attn.q_norm.weight', and no "
            f"preset of depth {depth} and hidden_size {hidden_size}; give num_heads"
        )
    if given not in (None, num_heads):
        raise UserError(f"num_heads {given}: expected {num_heads}, as the weights have; leave it out")
    return num_heads


def _shown_num_heads(state: Mapping[str, Tensor], hidden_size: int) -> int | None:
    for name, num_axes in (("feat_rope.freqs_cos", 2), ("blocks.0.attn.q_norm.weight", 1)):
        if name in state:
            head_dim = _shape(state, name, num_axes)[-1]
            if hidden_size % head_dim:
                raise UserError(
                    f"not LightningDiT weights: '{name}' has {head_dim} channels a head, "
                    f"which do not divide the {hidden_size} in all"
                )
            return hidden_size // head_dim
    return None


def _mlp_ratio(hidden_size: int, width: int, use_swiglu: bool) -> float:
    """The roundest ratio that gives the width, since many do: 4.0 rather than 4.0078."""
    middle = (width + 0.5) * (1.5 if use_swiglu else 1.0) / hidden_size
    ratios = (round(middle, digits) for digits in range(12))
    return next(ratio for ratio in ratios if feed_forward_width(hidden_size, ratio, use_swiglu) == width)


def load_dit(path: str | Path) -> LightningDiT:
    """LightningDiT in evaluation mode, float32, on the CPU, from a published `.pt` (see `read_dit_state`).

    The architecture comes from the file (`infer_architecture`). Raises FileNotFoundError or UserError, naming
    the file, for anything but complete weights.
    """
    state = read_dit_state(path)
    try:
        with torch.device("meta"):  # no point in drawing weights that are overwritten at once
            model = LightningDiT(**infer_architecture(state))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    load_strict(model, state, str(path))
    return model.eval()
