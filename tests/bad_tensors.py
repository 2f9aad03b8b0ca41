"""Latents, models, tokenizers and statistics that cannot be right."""

import io
import itertools
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from bad_inputs import (
    DRAW,
    EXTRACT,
    TOKENIZER,
    TRAIN,
    Bad,
    Put,
    Trap,
    bad,
    copied,
    cut,
    damaged,
    file,
    torch_file,
)
from safetensors import safe_open
from safetensors.torch import save_file
from toy_run import Toy

# Files of tensors

Change = Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]


def parts_of(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})


def damaged_bytes() -> dict[str, Callable[[bytes], bytes]]:
    """Ways to damage any safetensors file."""

    def header(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
        def damage(data: bytes) -> bytes:
            length = int.from_bytes(data[:8], "little")
            content = json.loads(data[8 : 8 + length])
            change(content)
            text = json.dumps(content).encode()
            return len(text).to_bytes(8, "little") + text + data[8 + length :]

        return damage

    def first(content: dict[str, Any]) -> dict[str, Any]:
        return next(value for name, value in content.items() if name != "__metadata__")

    ways = {
        f"cut at {share}": lambda data, share=share: data[: int(len(data) * share)]
        for share in (0, 0.001, 0.01, 0.5, 0.99)
    }
    ways |= {f"without the last {count}": lambda data, count=count: data[:-count] for count in (1, 7, 64)}
    ways |= {
        "twice": lambda data: data + data,
        "a tail": lambda data: data + b"x",
        "header too long": lambda data: (2**62).to_bytes(8, "little") + data[8:],
        "header of nothing": lambda data: bytes(8) + data[8:],
        "header too short": lambda data: (9).to_bytes(8, "little") + data[8:],
        "flipped length": lambda data: bytes([data[0] ^ 0x10]) + data[1:],
        "flipped brace": lambda data: data[:8] + b"[" + data[9:],
        "a pickle": lambda data: pickle.dumps({"latents": 1}),
        "zeros": lambda data: bytes(len(data)),
        "a zip": lambda data: zipped({"a": b"x"}),
        "a text": lambda data: b"not found",
        "offsets apart": header(lambda c: first(c)["data_offsets"].reverse()),
        "offsets beyond": header(lambda c: first(c).update(data_offsets=[0, 2**40])),
        "shape of billions": header(lambda c: first(c).update(shape=[10**9, 10**9])),
        "unknown type": header(lambda c: first(c).update(dtype="F7")),
    }
    return ways


def zipped(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def latents_folder(toy: Toy, work: Path, damage: Callable[[bytes], bytes] = bytes) -> Path:
    """A copy of the latents whose training split is damaged."""
    for name in ("val.safetensors", "latents_stats.pt", "stats_recommendation.txt"):
        copied(toy.latents / name, work / "made" / name)
    copied(toy.latents / "train.safetensors", work / "made/train.safetensors", damage)
    return work / "made"


def damaged_latents(damage: Callable[[bytes], bytes]) -> Put:
    return lambda toy, work: latents_folder(toy, work, damage)


def beside_latents(put: Put) -> Put:
    """The latents with another file among them, which `put` puts into `made`."""

    def put_both(toy: Toy, work: Path) -> Path:
        folder = latents_folder(toy, work)
        put(toy, work)
        return folder

    return put_both


def with_parts(change: Change) -> Put:
    """Latents whose tensors and header `change` has been at."""

    def put(toy: Toy, work: Path) -> Path:
        folder = latents_folder(toy, work)
        tensors, header = parts_of(folder / "train.safetensors")
        change(tensors, header)
        save_file(tensors, folder / "train.safetensors", metadata=header)
        return folder

    return put


def set_value(name: str, place: Any, value: float) -> Change:
    return lambda tensors, content: tensors[name].view(-1).__setitem__(place, value)


def other(function: Callable[[torch.Tensor], torch.Tensor], *names: str) -> Change:
    """Those tensors (or all) as the function makes them."""
    return lambda tensors, content: tensors.update(
        {name: function(tensors[name]).clone() for name in names or tensors}
    )


def without(name: str) -> Change:
    return lambda tensors, content: tensors.pop(name)


def without_entry(key: str) -> Change:
    return lambda tensors, content: content.pop(key)


def entry(key: str, value: Any, *below: str) -> Change:
    """Another value in the description, perhaps in a part of it."""

    def change(tensors: dict[str, torch.Tensor], content: dict[str, Any]) -> None:
        for part in below:
            content = content[part]
        content[key] = value

    return change


def as_type(dtype: torch.dtype, *names: str) -> Change:
    return other(lambda tensor: tensor.to(dtype), *names)


def shaped(*shape: int) -> Change:
    return other(lambda tensor: tensor.reshape(shape), "latents")


HEADER = "format_version label_table paths num_samples num_users shard_index num_shards fingerprint".split()


def latent_changes() -> Iterator[tuple[str, Change]]:
    for name in ("latents", "latents_std"):
        for number in ("nan", "inf", "-inf"):
            yield f"{name} {number}", set_value(name, 5, float(number))
    yield "negative std", set_value("latents_std", 3, -1.0)
    for value in (-1, 3, 2**40):
        yield f"label {value}", set_value("labels", 0, value)
    for name in ("latents", "labels"):
        yield f"no {name}", without(name)
        yield f"{name} shorter", other(lambda tensor: tensor[:-1], name)
        yield f"{name} empty", other(lambda tensor: tensor[:0], name)
    for dtype in (torch.int64, torch.bool, torch.uint8, torch.complex64):
        yield f"latents {dtype}", as_type(dtype, "latents")
    for dtype in (torch.float32, torch.int32, torch.bool):
        yield f"labels {dtype}", as_type(dtype, "labels")
    yield "flat latents", shaped(-1)
    yield "latents as (1, N, 4, 4)", shaped(1, -1, 4, 4)
    yield "oblong latents", other(lambda tensor: tensor[..., :8], "latents", "latents_std")
    for key in HEADER:
        yield f"header without {key}", without_entry(key)
        for value in ("", "{", "null", '{"a": 1}', '[["a"]]', "-1", '"word"', "1e999", "[1, 2]"):
            if (key, value) not in ACCEPTED:
                yield f"header {key}={value}", entry(key, value)


# What is not looked at where there is one file: whose mark it bears.
ACCEPTED = {
    ("fingerprint", value) for value in ("null", '{"a": 1}', '[["a"]]', "-1", '"word"', "1e999", "[1, 2]")
}
LATENTS = [
    *(
        bad(f"latents {name}", TRAIN, said="train.safetensors", latent_dir=damaged_latents(damage))
        for name, damage in damaged_bytes().items()
    ),
    *(bad(f"latents {name}", TRAIN, latent_dir=with_parts(change)) for name, change in latent_changes()),
    bad(
        "shards of which one is missing",
        TRAIN,
        said="missing or left over",
        latent_dir=lambda toy, work: (
            copied(toy.latents / "train.safetensors", work / "made/train-00001-of-00002.safetensors").parent
        ),
    ),
    bad(
        "an advice without a word",
        TRAIN,
        said="first line is",
        latent_dir=beside_latents(file("made/stats_recommendation.txt", "\0\xff")),
    ),
]


# Models and tokenizers

SLIM_KEY = "microdoppler"


def with_model(change: Change) -> Put:
    """best.safetensors whose tensors and description `change` has been at."""

    def put(toy: Toy, work: Path) -> Path:
        tensors, header = parts_of(toy.lively)
        content = json.loads(header[SLIM_KEY])
        change(tensors, content)
        save_file(tensors, work / "best.safetensors", metadata={SLIM_KEY: json.dumps(content)})
        return work / "best.safetensors"

    return put


def model_changes() -> Iterator[tuple[str, Change]]:
    for key in "format model transport labels statistics tokenizer_digest preprocessing config".split():
        yield f"without {key}", without_entry(key)
    for key in ("format", "model", "labels", "statistics"):
        for value in (None, 3, "word", [], {}, [1, 2], [None], {"a": 1}):
            yield f"{key}={value}", entry(key, value)
    transports = {"prediction": "v"}, {"path_type": 3}, {"sample_eps": "x"}, {"surprise": 1}
    for value in ("word", [1, 2], *transports):
        yield f"transport={value}", entry("transport", value)
    for key, values in {
        "depth": (0, 2, -1, 10**9, "x"),
        "hidden_size": (31, 10**12, 0),
        "num_heads": (0, 5),
        "num_classes": (0, 10**12, 4),
        "patch_size": (0, 3),
        "input_size": (0, 10**6),
        "in_channels": (3,),
        "mlp_ratio": (1e300, -1, None),
        "class_dropout_prob": (7,),
        "use_rope": ("yes please",),
        "surprise": (1,),
    }.items():
        for value in values:
            yield f"model.{key}={value}", entry(key, value, "model")
    for key in ("mean", "std"):
        for value in ([], [0.0] * 31, [1e39] * 32, ["x"] * 32, [None] * 32, 7, [[1.0] * 32] * 2):
            yield f"{key}={str(value)[:20]}", entry(key, value, "statistics")
    yield "std=0", entry("std", [0.0] * 32, "statistics")
    for labels in (["ID_2", "ID_1", "ID_10"], ["ID_1"] * 3, ["ID_1", "ID_2"], ["", "ID_1", "ID_2"]):
        yield f"labels={labels}", entry("labels", labels)
    yield "another digest", entry("tokenizer_digest", "0" * 64)
    yield "a digest of another kind", entry("tokenizer_digest", [7])
    weight = "blocks.0.mlp.w3.weight"
    yield "a weight less", without(weight)
    yield "a weight more", lambda tensors, content: tensors.update(surprise=torch.ones(2))
    yield "a weight of another shape", other(lambda tensor: torch.ones(3, 3), weight)
    yield "a weight that is not a number", other(lambda tensor: tensor * float("nan"), weight)
    yield "complex weights", as_type(torch.complex64)
    yield "no weights", lambda tensors, content: tensors.clear()


def trap(name: str, bare: bool = False) -> Put:
    """A pickle that would run code, in the form of torch's files or bare."""

    def put(toy: Toy, work: Path) -> Path:
        content = {"state_dict": {"a": Trap(work / "sprung")}, "mean": Trap(work / "sprung")}
        return (file(name, pickle.dumps(content)) if bare else torch_file(name, content))(toy, work)

    return put


def tokenizer_changes() -> Iterator[tuple[str, Change]]:
    for key, values in {
        "ch": (0, 10**12, "x"),
        "ch_mult": ([], [0], 7, [1] * 40),
        "num_res_blocks": (0, 10**7),
        "embed_dim": (-1, None),
        "patch_size": (0,),
        "resolution": (0,),
        "in_channels": (4,),
        "model_type": ("gan",),
        "attn_resolutions": ("x",),
        "surprise": (1,),
    }.items():
        for value in values:
            yield f"{key}={str(value)[:20]}", entry(key, value)
    yield "no ch", without_entry("ch")
    for number in ("nan", "inf"):
        yield number, set_value("post_quant_conv.bias", slice(None), float(number))
    for dtype in (torch.complex64, torch.int32):
        yield str(dtype), as_type(dtype, "post_quant_conv.bias")


def with_tokenizer(change: Change) -> Put:
    def put(toy: Toy, work: Path) -> Path:
        tensors, header = parts_of(toy.tokenizer)
        config = json.loads(header["config"])
        change(tensors, config)
        save_file(tensors, work / "W.safetensors", metadata={"config": json.dumps(config)})
        return work / "W.safetensors"

    return put


NO_WEIGHTS = {
    "a list": [1],
    "a number": 7,
    "nothing": {},
    "texts": {"a": "b"},
    "ema of nothing": {"ema": {}},
    "a tensor": torch.ones(3),
    "foreign weights": {"model": {"layer.weight": torch.ones(2, 2)}},
}


def models() -> Iterator[Bad]:
    for name, change in tokenizer_changes():
        yield bad(f"tokenizer with {name}", EXTRACT, vavae_path=with_tokenizer(change))
    for name, damage in damaged_bytes().items():
        yield bad(f"model {name}", DRAW, dit_checkpoint=damaged("lively", "best.safetensors", damage))
        yield bad(f"tokenizer {name}", EXTRACT, vavae_path=damaged("tokenizer", "W.safetensors", damage))
    for name, change in model_changes():
        yield bad(f"model {name}", DRAW, dit_checkpoint=with_model(change))
    for share in (0, 0.01, 0.5, 0.99):
        put = damaged("checkpoint", "best.ckpt", cut(share))
        yield bad(f"checkpoint cut at {share}", DRAW, dit_checkpoint=put)
    for suffix, bare in itertools.product(("ckpt", "pt", "safetensors"), (False, True)):
        name, put = f"{'bare ' * bare}.{suffix}", trap(f"x.{suffix}", bare)
        yield bad(f"code in --dit_checkpoint {name}", DRAW, dit_checkpoint=put)
        yield bad(f"code in --vavae_path {name}", EXTRACT, vavae_path=put)
        yield bad(f"code in --imagenet_stats {name}", EXTRACT, imagenet_stats=put)
        yield bad(f"code in --init_from {name}", TOKENIZER, init_from=put)
    for name, value in NO_WEIGHTS.items():
        for suffix in ("pt", "ckpt"):
            put = torch_file(f"x.{suffix}", value)
            yield bad(f"{name} as .{suffix}", DRAW, dit_checkpoint=put)
            yield bad(f"{name} as tokenizer .{suffix}", EXTRACT, vavae_path=put)


def statistics() -> Iterator[Bad]:
    """One that is none; what else is none, the tests of their reader know."""
    path, good = "made/latents_stats.pt", torch.ones(1, 32, 1, 1)
    puts = {"negative": torch_file(path, {"mean": good, "std": -good}), "code": trap(path)}
    for name, put in (puts | {"bare code": trap(path, bare=True)}).items():
        yield bad(f"statistics: {name}", TRAIN, said="latents_stats.pt", latent_dir=beside_latents(put))
