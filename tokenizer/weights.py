"""Weight files of the autoencoder: strict reading of every known layout, slim copies, a digest of the values.

Layouts read: the published training checkpoint (`.pt`, names at the top or under `state_dict`), a Lightning
`.ckpt` (also with this project's `net.` and `ema.` prefixes; `ema.` is preferred), `marvae` (under `model`),
and the slim `.safetensors` written here, which carries its architecture as JSON in the metadata key `config`.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from configs.errors import UserError
from configs.json_text import parse_json
from tokenizer.blocks import level_sizes
from weight_files.hub import local_file
from weight_files.reading import WeightFile, list_names, load_strict, values_digest

OWN_PREFIXES = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
HOLDERS = ("ema.", "net.", "")  # where the autoencoder may sit in a module, the best first
IGNORED_PREFIXES = (  # what training keeps beside the autoencoder
    "foundation_model.",
    "loss.",
    "linear_proj.",
    "reverse_proj.",
    "logit_scale",
    "logit_bias",  # VA-VAE
    "model_ema.",  # LDM's own average, under mangled names
    "discriminator.",
    "lpips.",  # LDM's loss, where a trainer keeps it beside the network
)
SLIM_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
COMPACT = "compact"  # the word for the tokenizer that ships with the project
COMPACT_FILE = Path(__file__).resolve().parents[1] / "pretrained" / "microdoppler_f16d32_compact.safetensors"
WAY_OUT = "give the published .pt, a .ckpt of train_tokenizer, or a slim .safetensors of tokenizer.convert"


@dataclass(frozen=True)
class Checkpoint:
    """An autoencoder's weights under its own names, the architecture if the file states it, the leftovers."""

    file: WeightFile
    state: dict[str, Tensor]
    config: dict[str, Any] | None
    ignored: list[str]


def resolve_path(path: str | Path) -> Path:
    """The file that `path` names: the string "compact" is the embedded tokenizer, all else as `local_file`.

    A file of that name is "./compact", or a Path.
    """
    return COMPACT_FILE if isinstance(path, str) and path == COMPACT else local_file(path)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a weight file, "compact" being the embedded one.

    UserError or FileNotFoundError, in one line, for anything that is no tokenizer file. Names of
    `IGNORED_PREFIXES` are left out; any other name that is not the autoencoder's is refused.
    """
    file = WeightFile(resolve_path(path), "tokenizer file", WAY_OUT)
    values: Mapping[str, Any]
    if file.path.suffix == ".safetensors":
        values, metadata = file.safetensors()
        config = _config_of(metadata, file)
    else:
        values, config = _unwrapped(file), None
    state, ignored = _pick_own(values, file)
    return Checkpoint(file, state, config, ignored)


def _config_of(metadata: Mapping[str, str], file: WeightFile) -> dict[str, Any] | None:
    """The architecture that a slim file states."""
    if "config" not in metadata:
        return None
    try:
        return parse_json(metadata["config"])
    except ValueError as error:
        raise file.refusal(f"metadata 'config' is no JSON ({error})", "convert the file again") from error


def _unwrapped(file: WeightFile) -> Mapping[str, Any]:
    """The names and values of a torch file, which may lie under `state_dict` or `model`."""
    content = file.torch()
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise file.refusal(f"holds a {type(content).__name__}, expected named weights")
    return content


def _pick_own(values: Mapping[str, Any], file: WeightFile) -> tuple[dict[str, Tensor], list[str]]:
    """Split a file's values into the autoencoder's own, under bare names, and the ignored names."""
    for holder in HOLDERS:
        prefixes = tuple(holder + prefix for prefix in OWN_PREFIXES)
        chosen = [name for name in values if name.startswith(prefixes)]
        if chosen:
            break
    else:
        raise file.refusal(
            f"no autoencoder weights (encoder., decoder., …) among its names: {list_names(values)}"
        )
    taken = set(chosen)
    known = IGNORED_PREFIXES + tuple(f"net.{prefix}" for prefix in OWN_PREFIXES)
    ignored = [name for name in values if name not in taken]
    unexpected = [name for name in ignored if not name.startswith(known)]
    if unexpected:
        raise file.refusal(f"unexpected names beside the autoencoder's: {list_names(unexpected)}")
    wrong = [name for name in chosen if not isinstance(values[name], Tensor)]
    if wrong:
        raise file.refusal(f"not tensors: {list_names(wrong)}")
    return {name.removeprefix(holder): values[name] for name in chosen}, ignored


def _shape(state: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    """Shape of the convolution weight `name`; UserError where it is missing or none."""
    if name not in state or state[name].ndim != 4:
        raise UserError(f"the architecture cannot be read: {name} is missing or no convolution weight")
    return tuple(state[name].shape)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many different indices follow `prefix` in the names."""
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})


def infer_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor values of the autoencoder that `state` belongs to, for 256-pixel RGB images.

    `attn_resolutions` are the sides that the levels with attention have at that size; UserError where the
    shapes are not of the family. Other gaps show when the state is compared with what these values build.
    """
    levels = _count(state, "encoder.down.")
    ch, folded = _shape(state, "encoder.conv_in.weight")[:2]
    widths = [_shape(state, f"encoder.down.{level}.block.0.conv1.weight")[0] for level in range(levels)]
    patch_size = math.isqrt(folded // 3)
    if 3 * patch_size**2 != folded or not ch or not widths or any(width % ch for width in widths):
        raise UserError(
            f"the architecture cannot be read: {folded} input channels and levels of {widths} "
            f"channels on {ch} are not of this family"
        )
    attended = [level for level in range(levels) if f"encoder.down.{level}.attn.0.q.weight" in state]
    decoder_attends = any(name.startswith("decoder.up.") and ".attn." in name for name in state)
    sizes = level_sizes(256, patch_size, levels)
    return dict(
        embed_dim=_shape(state, "post_quant_conv.weight")[0],
        ch_mult=[width // ch for width in widths],
        model_type="marvae" if attended and not decoder_attends else "vavae",
        ch=ch,
        num_res_blocks=_count(state, "encoder.down.0.block."),
        attn_resolutions=[sizes[level] for level in attended],
        resolution=256,
        in_channels=3,
        patch_size=patch_size,
        shortcut="encoder.shortcut.weight" in state,
    )


def load_weights_(model: nn.Module, path: str | Path) -> nn.Module:
    """Copy a file's weights into `model`, all or none; UserError where they are not exactly this model's."""
    checkpoint = read_checkpoint(path)
    load_strict(model, checkpoint.state, checkpoint.file, "autoencoder", WAY_OUT)
    return model


def save_slim(model: nn.Module, path: str | Path, dtype: torch.dtype = torch.float16) -> None:
    """Write the autoencoder alone, in `dtype`, its architecture inside; whole or not at all.

    UserError as of `slim_values`.
    """
    path = Path(path)
    assert dtype in SLIM_DTYPES, dtype
    values = slim_values(model, path, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Not save_file, which leaves a file that only its owner may read.
        temporary.write_bytes(save(values, metadata={"config": json.dumps(model.config)}))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def slim_values(model: nn.Module, path: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a slim file `path` would hold.

    UserError for a name that does not end in .safetensors, and for values that are not finite in `dtype`.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: expected a name ending in .safetensors, by which the reader knows it")
    state = model.state_dict()
    values = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    overflown = [name for name, value in values.items() if not torch.isfinite(value).all()]
    if overflown:
        raise UserError(
            f"{path}: not written, values not finite in {dtype}: {list_names(overflown)}; "
            "choose float32 or bfloat16, or check the weights"
        )
    return values


def digest(model: nn.Module) -> str:
    """SHA-256 over the sorted names, shapes and values in half precision (64 hexadecimal digits).

    Half precision, so that a published file and its float16 slim copy are the same tokenizer by name.
    """
    return values_digest(model, torch.float16, "{name} {shape}\n")
