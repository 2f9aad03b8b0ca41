"""Presets, overrides and flags that cannot be right."""

from collections.abc import Iterator

import numpy
from bad_inputs import DRAW, SPECTROGRAM, TOKENIZER, TRAIN, Bad, bad, file
from bad_pictures import recorded


def presets() -> Iterator[tuple[str, str | bytes]]:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for last, name in zip("abcdefghijkl", "bcdefghijklm"):
        bomb += f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
    yield "anchor bomb", bomb
    yield "anchor bomb in a section", "train:\n  " + bomb.replace("\n", "\n  ")
    yield "recursive anchor", "train: &a {lr: *a}\n"
    yield "merge bomb", "train: &t {lr: 1}\nmodel: {<<: *t}\n"
    yield "deep", "[" * 5000
    yield "deep mapping", "train: " + "{a: " * 2000
    yield "code", "train: !!python/object/apply:os.system ['true']\n"
    yield "a tag", "train: !secret {lr: 1}\n"
    yield "bytes", numpy.random.default_rng(3).bytes(400)
    yield "not UTF-8", b"train: {lr: \xff}\n"
    yield "zeros", bytes(100)
    yield "a number", "7\n"
    yield "a list", "- train\n- model\n"
    yield "tabs", "train:\n\tlr: 1\n"
    yield "a key twice", "train: {lr: 1, lr: 2}\n"
    yield "two documents", "train: {lr: 1.0}\n---\ntrain: {lr: 2.0}\n"
    yield "a section of text", "train: fast\n"
    yield "a section of a list", "train: [lr, 1]\n"
    yield "unknown section", "trian: {lr: 1}\n"
    yield "unknown key", "train: {learning_rate: 1}\n"
    yield "a number as key", "7: {lr: 1}\n"
    yield "a list as value", "train: {lr: [1, 2]}\n"
    yield "a mapping as value", "train: {lr: {a: 1}}\n"
    yield "an interpolation", "train: {lr: '${model.depth}'}\n"
    yield "an interpolation of itself", "train: {lr: '${lr}'}\n"
    yield "an environment variable", "train: {lr: '${oc.env:HOME}'}\n"
    yield "huge number", "train: {batch_size: 1" + "0" * 5000 + "}\n"
    yield "date", "train: {lr: 2026-01-01}\n"
    yield "null section key", "? \n: {lr: 1}\n"


def preset_cases() -> Iterator[Bad]:
    for name, content in presets():
        yield bad(f"preset {name}", TRAIN, config=file("preset.yaml", content))
    yield bad("preset that is a folder", TRAIN, config=lambda toy, work: work)
    for text in (
        "lr=*a",
        "lr=?",
        "lr=&a [*a]",
        "lr={",
        "lr=[1",
        "lr='",
        "lr=!!python/name:os.system",
        "lr=${lr}",
        "model=3",
        "model.={}",
        "a.b.c=3",
        "lr.x=3",
        "=3",
        "lr=" + "[" * 3000,
        "lr=\x00",
        "transport.path_type=[Linear]",
        "model.depth=1.5",
        "model.depth=true",
        "lr=null",
    ):
        yield bad(f"override {text[:20]!r}", TRAIN, text)


# Numbers that each key may have, but not together with these data or on this machine

MODELS = (
    *("num_heads=7", "num_heads=32", "patch_size=3", "patch_size=32", "hidden_size=6", "mlp_ratio=1e12"),
    *("hidden_size=10000000000", "depth=1000000"),
)
TOKENIZERS = (
    *("ch=33", "ch_mult=[]", "ch_mult=[0]", "ch_mult=[1,-2]", "patch_size=3", "crop=33", "crop=320"),
    *("embed_dim=1000000000", "ch=3200000000", "batch_size=1000000000", "num_res_blocks=1000000"),
    *("align_model=absent_model", "align_weights=absent.pt"),
)
ABSURD = [
    bad("a batch of a billion", TRAIN, batch_size=10**9),
    bad("a thousand processes", TRAIN, devices=1000),
    bad("steps beyond counting", TRAIN, f"max_steps={10**30}"),
    *(bad(f"model.{text}", TRAIN, f"model.{text}") for text in MODELS),
    bad("a trillion images", DRAW, num_samples_per_user=10**12),
    bad("33 guided channels", DRAW, guidance_channels=33),
    bad("three interval ends", DRAW, "guidance_interval=[0, 0.5, 1]", said="interval"),
    bad("users from a list of lists", DRAW, "user_ids=[[1]]"),
    bad("a user of 5000 digits", DRAW, user_ids="9" * 5000),
    bad("a range without end", DRAW, user_ids="1-99999999999999"),
    bad("user minus one", DRAW, user_ids="-1"),
    bad("user of strange digits", DRAW, user_ids="²"),
    bad("a cell above the recording", SPECTROGRAM, recorded, prf=1e300),
    bad("a carrier near zero", SPECTROGRAM, recorded, carrier=1e-300),
    bad("frames without end", SPECTROGRAM, recorded, frames_per_second=1e300),
    bad("a window without end", SPECTROGRAM, recorded, window_s=1e300),
    *(bad(f"tokenizer {text}", TOKENIZER, text) for text in TOKENIZERS),
    bad("a tokenizer of one pixel", TOKENIZER, "ch_mult=[1]", "patch_size=16", "crop=0"),
]
