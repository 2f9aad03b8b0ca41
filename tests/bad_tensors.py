"""Latents, models, tokenizers and statistics that cannot be right."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from bad_inputs import Bad, Trap, copied, draw, extract, saved, tokenizer, train, written
from safetensors import safe_open
from safetensors.torch import save_file
from toy_run import Toy

import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
import train_tokenizer

# Files of tensors


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


def with_parts(
    change: Callable[[dict[str, torch.Tensor], dict[str, str]], Any],
) -> Callable[[Toy, Path], list[Any]]:
    """Stage 2 on latents whose tensors and header `change` has been at."""

    def make(toy: Toy, work: Path) -> list[Any]:
        folder = latents_folder(toy, work)
        tensors, header = parts_of(folder / "train.safetensors")
        change(tensors, header)
        save_file(tensors, folder / "train.safetensors", metadata=header)
        return train(toy, work, latent_dir=folder)

    return make


def set_value(name: str, place: Any, value: float) -> Callable[[dict[str, torch.Tensor], Any], None]:
    return lambda tensors, header: tensors[name].view(-1).__setitem__(place, value)


def latent_changes() -> Iterator[tuple[str, Callable[[dict[str, torch.Tensor], dict[str, str]], Any]]]:
    for name in ("latents", "latents_std"):
        for number in ("nan", "inf", "-inf"):
            yield f"{name} {number}", set_value(name, 5, float(number))
    yield "negative std", set_value("latents_std", 3, -1.0)
    for value in (-1, 3, 2**40):
        yield f"label {value}", set_value("labels", 0, value)
    for name in ("latents", "labels"):
        yield f"no {name}", lambda tensors, header, name=name: tensors.pop(name)
        yield (
            f"{name} shorter",
            lambda tensors, header, name=name: tensors.update({name: tensors[name][:-1].clone()}),
        )
        yield (
            f"{name} empty",
            lambda tensors, header, name=name: tensors.update({name: tensors[name][:0].clone()}),
        )
    for dtype in (torch.int64, torch.bool, torch.uint8, torch.complex64):
        yield (
            f"latents {dtype}",
            lambda tensors, header, dtype=dtype: tensors.update(latents=tensors["latents"].to(dtype)),
        )
    for dtype in (torch.float32, torch.int32, torch.bool):
        yield (
            f"labels {dtype}",
            lambda tensors, header, dtype=dtype: tensors.update(labels=tensors["labels"].to(dtype)),
        )
    for shape in ((-1,), (1, -1, 4, 4)):
        yield (
            f"latents as {shape}",
            lambda tensors, header, shape=shape: tensors.update(
                latents=tensors["latents"].reshape(shape).clone()
            ),
        )
    yield (
        "oblong latents",
        lambda tensors, header: tensors.update(
            {name: tensors[name][..., :8].clone() for name in ("latents", "latents_std")}
        ),
    )
    for key in (
        "format_version",
        "label_table",
        "paths",
        "num_samples",
        "num_users",
        "shard_index",
        "num_shards",
        "fingerprint",
    ):
        yield f"header without {key}", lambda tensors, header, key=key: header.pop(key)
        for value in ("", "{", "null", '{"a": 1}', '[["a"]]', "-1", '"word"', "1e999", "[1, 2]"):
            if (key, value) not in ACCEPTED:
                yield (
                    f"header {key}={value}",
                    lambda tensors, header, key=key, value=value: header.update({key: value}),
                )


# What is not looked at where there is one file: whose mark it bears.
ACCEPTED = {
    ("fingerprint", value) for value in ("null", '{"a": 1}', '[["a"]]', "-1", '"word"', "1e999", "[1, 2]")
}
LATENTS = [
    Bad(
        f"latents {name}",
        stage2.main,
        lambda toy, work, damage=damage: train(toy, work, latent_dir=latents_folder(toy, work, damage)),
        "train.safetensors",
    )
    for name, damage in damaged_bytes().items()
]
LATENTS += [Bad(f"latents {name}", stage2.main, with_parts(change)) for name, change in latent_changes()]
LATENTS += [
    Bad(
        "shards of which one is missing",
        stage2.main,
        lambda toy, work: train(
            toy,
            work,
            latent_dir=copied(
                toy.latents / "train.safetensors", work / "made/train-00001-of-00002.safetensors"
            ).parent,
        ),
        "missing or left over",
    ),
    Bad(
        "an advice without a word",
        stage2.main,
        lambda toy, work: train(
            toy,
            work,
            latent_dir=written(latents_folder(toy, work) / "stats_recommendation.txt", "\0\xff").parent,
        ),
        "first line is",
    ),
]


# Models and tokenizers

SLIM_KEY = "microdoppler"


def with_model(
    change: Callable[[dict[str, torch.Tensor], dict[str, Any]], Any],
) -> Callable[[Toy, Path], list[Any]]:
    """Stage 3 with best.safetensors whose tensors and description `change` has been at."""

    def make(toy: Toy, work: Path) -> list[Any]:
        tensors, header = parts_of(toy.lively)
        content = json.loads(header[SLIM_KEY])
        change(tensors, content)
        save_file(tensors, work / "best.safetensors", metadata={SLIM_KEY: json.dumps(content)})
        return draw(toy, work, dit_checkpoint=work / "best.safetensors")

    return make


def model_changes() -> Iterator[tuple[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]]]:
    for key in (
        "format",
        "model",
        "transport",
        "labels",
        "statistics",
        "tokenizer_digest",
        "preprocessing",
        "config",
    ):
        yield f"without {key}", lambda tensors, content, key=key: content.pop(key)
    for key in ("format", "model", "labels", "statistics"):
        for value in (None, 3, "word", [], {}, [1, 2], [None], {"a": 1}):
            yield (
                f"{key}={value}",
                lambda tensors, content, key=key, value=value: content.update({key: value}),
            )
    for value in (
        "word",
        [1, 2],
        {"prediction": "v"},
        {"path_type": 3},
        {"sample_eps": "x"},
        {"surprise": 1},
    ):
        yield f"transport={value}", lambda tensors, content, value=value: content.update(transport=value)
    for key, value in (
        ("depth", 0),
        ("depth", 2),
        ("depth", -1),
        ("depth", 10**9),
        ("depth", "x"),
        ("hidden_size", 31),
        ("hidden_size", 10**12),
        ("hidden_size", 0),
        ("num_heads", 0),
        ("num_heads", 5),
        ("num_classes", 0),
        ("num_classes", 10**12),
        ("num_classes", 4),
        ("patch_size", 0),
        ("patch_size", 3),
        ("input_size", 0),
        ("input_size", 10**6),
        ("in_channels", 3),
        ("mlp_ratio", 1e300),
        ("mlp_ratio", -1),
        ("mlp_ratio", None),
        ("class_dropout_prob", 7),
        ("use_rope", "yes please"),
        ("surprise", 1),
    ):
        yield (
            f"model.{key}={value}",
            lambda tensors, content, key=key, value=value: content["model"].update({key: value}),
        )
    for key in ("mean", "std"):
        for value in ([], [0.0] * 31, [1e39] * 32, ["x"] * 32, [None] * 32, 7, [[1.0] * 32] * 2):
            yield (
                f"{key}={str(value)[:20]}",
                lambda tensors, content, key=key, value=value: content["statistics"].update({key: value}),
            )
    yield "std=0", lambda tensors, content: content["statistics"].update(std=[0.0] * 32)
    for labels in (["ID_2", "ID_1", "ID_10"], ["ID_1"] * 3, ["ID_1", "ID_2"], ["", "ID_1", "ID_2"]):
        yield f"labels={labels}", lambda tensors, content, labels=labels: content.update(labels=labels)
    yield "another digest", lambda tensors, content: content.update(tokenizer_digest="0" * 64)
    yield "a digest of another kind", lambda tensors, content: content.update(tokenizer_digest=[7])
    yield "a weight less", lambda tensors, content: tensors.pop("blocks.0.mlp.w3.weight")
    yield "a weight more", lambda tensors, content: tensors.update(surprise=torch.ones(2))
    yield (
        "a weight of another shape",
        lambda tensors, content: tensors.update({"blocks.0.mlp.w3.weight": torch.ones(3, 3)}),
    )
    yield (
        "a weight that is not a number",
        lambda tensors, content: tensors["x_embedder.proj.weight"].fill_(float("nan")),
    )
    yield (
        "complex weights",
        lambda tensors, content: tensors.update(
            {name: value.to(torch.complex64) for name, value in tensors.items()}
        ),
    )
    yield "no weights", lambda tensors, content: tensors.clear()


def trap(work: Path, name: str) -> Path:
    """A pickle that would run code, in the form of torch's files or bare."""
    path, content = work / name, {"state_dict": {"a": Trap(work / "sprung")}, "mean": Trap(work / "sprung")}
    if "bare" in name:
        return written(path, pickle.dumps(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def tokenizer_changes() -> Iterator[tuple[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]]]:
    for key, value in (
        ("ch", 0),
        ("ch", 10**12),
        ("ch", "x"),
        ("ch_mult", []),
        ("ch_mult", [0]),
        ("ch_mult", 7),
        ("ch_mult", [1] * 40),
        ("num_res_blocks", 0),
        ("num_res_blocks", 10**7),
        ("embed_dim", -1),
        ("embed_dim", None),
        ("patch_size", 0),
        ("resolution", 0),
        ("in_channels", 4),
        ("model_type", "gan"),
        ("attn_resolutions", "x"),
        ("surprise", 1),
    ):
        yield (
            f"{key}={str(value)[:20]}",
            lambda tensors, config, key=key, value=value: config.update({key: value}),
        )
    yield "no ch", lambda tensors, config: config.pop("ch")
    name = "post_quant_conv.bias"
    for number in ("nan", "inf"):
        yield number, lambda tensors, config, number=number: tensors[name].fill_(float(number))
    for dtype in (torch.complex64, torch.int32):
        yield str(dtype), lambda tensors, config, dtype=dtype: tensors.update({name: tensors[name].to(dtype)})


def with_tokenizer(
    change: Callable[[dict[str, torch.Tensor], dict[str, Any]], Any],
) -> Callable[[Toy, Path], list[Any]]:
    def make(toy: Toy, work: Path) -> list[Any]:
        tensors, header = parts_of(toy.tokenizer)
        config = json.loads(header["config"])
        change(tensors, config)
        save_file(tensors, work / "W.safetensors", metadata={"config": json.dumps(config)})
        return extract(toy, work, vavae_path=work / "W.safetensors")

    return make


def models() -> Iterator[Bad]:
    for name, change in tokenizer_changes():
        yield Bad(f"tokenizer with {name}", stage1.main, with_tokenizer(change))
    for name, damage in damaged_bytes().items():
        yield Bad(
            f"model {name}",
            stage3.main,
            lambda toy, work, damage=damage: draw(
                toy, work, dit_checkpoint=copied(toy.lively, work / "best.safetensors", damage)
            ),
        )
        yield Bad(
            f"tokenizer {name}",
            stage1.main,
            lambda toy, work, damage=damage: extract(
                toy, work, vavae_path=copied(toy.tokenizer, work / "W.safetensors", damage)
            ),
        )
    for name, change in model_changes():
        yield Bad(f"model {name}", stage3.main, with_model(change))
    for share in (0, 0.01, 0.5, 0.99):
        yield Bad(
            f"checkpoint cut at {share}",
            stage3.main,
            lambda toy, work, share=share: draw(
                toy,
                work,
                dit_checkpoint=copied(
                    toy.checkpoint, work / "best.ckpt", lambda data: data[: int(len(data) * share)]
                ),
            ),
        )
    for name in ("trap.ckpt", "bare.ckpt", "trap.pt", "bare.pt", "trap.safetensors", "bare.safetensors"):
        yield Bad(
            f"code in --dit_checkpoint {name}",
            stage3.main,
            lambda toy, work, name=name: draw(toy, work, dit_checkpoint=trap(work, name)),
        )
        yield Bad(
            f"code in --vavae_path {name}",
            stage1.main,
            lambda toy, work, name=name: extract(toy, work, vavae_path=trap(work, name)),
        )
        yield Bad(
            f"code in --imagenet_stats {name}",
            stage1.main,
            lambda toy, work, name=name: extract(toy, work, imagenet_stats=trap(work, name)),
        )
        yield Bad(
            f"code in --init_from {name}",
            train_tokenizer.main,
            lambda toy, work, name=name: tokenizer(toy, work, init_from=trap(work, name)),
        )
    for name in ("trap", "bare"):
        yield Bad(
            f"code in latents_stats.pt ({name})",
            stage2.main,
            lambda toy, work, name=name: train(
                toy,
                work,
                latent_dir=os.fspath(
                    trap(latents_folder(toy, work), name).rename(work / "made/latents_stats.pt").parent
                ),
            ),
        )
    for name, value in (
        ("a list", [1]),
        ("a number", 7),
        ("nothing", {}),
        ("texts", {"a": "b"}),
        ("ema of nothing", {"ema": {}}),
        ("a tensor", torch.ones(3)),
        ("foreign weights", {"model": {"layer.weight": torch.ones(2, 2)}}),
    ):
        for suffix in ("pt", "ckpt"):
            yield Bad(
                f"{name} as .{suffix}",
                stage3.main,
                lambda toy, work, value=value, suffix=suffix: draw(
                    toy, work, dit_checkpoint=saved(work / f"x.{suffix}", value)
                ),
            )
            yield Bad(
                f"{name} as tokenizer .{suffix}",
                stage1.main,
                lambda toy, work, value=value, suffix=suffix: extract(
                    toy, work, vavae_path=saved(work / f"x.{suffix}", value)
                ),
            )


def statistics() -> Iterator[Bad]:
    good = torch.ones(1, 32, 1, 1)
    for name, content in {
        "a list": [good, good],
        "no std": {"mean": good},
        "no mean": {"std": good},
        "empty": {},
        "flat": {"mean": good.flatten(), "std": good.flatten()},
        "scalars": {"mean": 0.0, "std": 1.0},
        "not a number": {"mean": good * float("nan"), "std": good},
        "zero": {"mean": good, "std": good * 0},
        "negative": {"mean": good, "std": -good},
        "whole numbers": {"mean": good.long(), "std": good.long()},
        "infinite": {"mean": good, "std": good / 0},
        "four": {"mean": good[:, :4], "std": good[:, :4]},
        "sparse": {"mean": good.to_sparse(), "std": good},
        "texts": {"mean": "a", "std": "b"},
    }.items():
        yield Bad(
            f"statistics {name}",
            stage2.main,
            lambda toy, work, content=content: train(
                toy, work, latent_dir=saved(latents_folder(toy, work) / "latents_stats.pt", content).parent
            ),
            "latents_stats.pt",
        )
