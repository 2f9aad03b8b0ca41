"""Presets, overrides and flags that cannot be right."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints

import numpy
from bad_inputs import Bad, draw, extract, judge, spectrogram, split, tokenizer, train, written
from bad_pictures import recorded

import playground.__main__ as playground
import run_complete_pipeline as runner
import stage0_prepare as stage0
import stage1_extract_features as stage1
import stage2_train_dit as stage2
import stage3_inference as stage3
import stage4_evaluate as stage4
import train_tokenizer
from configs.schema import SECTIONS


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
        yield Bad(
            f"preset {name}",
            stage2.main,
            lambda toy, work, content=content: train(
                toy, work, config=written(work / "preset.yaml", content)
            ),
        )
    yield Bad("preset that is a folder", stage2.main, lambda toy, work: train(toy, work, config=work))
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
        yield Bad(
            f"override {text[:20]!r}", stage2.main, lambda toy, work, text=text: [*train(toy, work), text]
        )


MAINS = {
    "doctor": stage0.main,
    "setup": stage0.main,
    "download": stage0.main,
    "split": stage0.main,
    "simulate": stage0.main,
    "spectrogram": stage0.main,
    "import": stage0.main,
    "extract": stage1.main,
    "train": stage2.main,
    "model": stage2.main,
    "transport": stage2.main,
    "sample": stage3.main,
    "evaluate": stage4.main,
    "judge": stage4.main,
    "sweep": stage4.main,
    "study": stage4.main,
    "fid": stage4.main,
    "tokenizer": train_tokenizer.main,
    "playground": playground.main,
    "pipeline": runner.main,
}
REQUIRED = {
    "doctor": lambda toy, work: ["doctor", "--output_dir", work],
    "setup": lambda toy, work: ["setup", "--folders", toy.data, "--output_dir", work / "out"],
    "download": lambda toy, work: ["download", "latents-stats", "--dir", work / "out"],
    "judge": lambda toy, work: ["judge", "--real", toy.data, "--output_dir", work / "out"],
    "sweep": lambda toy, work: ["sweep", "--real", toy.data, *toy.networks, "--output_dir", work / "out"],
    "study": lambda toy, work: [
        "study",
        "--design",
        "same-budget",
        "--real",
        toy.data,
        "--vavae_path",
        toy.tokenizer,
        "--output_dir",
        work / "out",
    ],
    "fid": lambda toy, work: [
        "fid",
        "--generated",
        toy.data,
        "--reference",
        toy.images,
        "--output_dir",
        work / "out",
    ],
    "split": split,
    "spectrogram": spectrogram,
    "import": lambda toy, work: ["import", "sense2gol", "--input", work / "iq", "--output_dir", work / "raw"],
    "extract": extract,
    "train": train,
    "model": train,
    "transport": train,
    "sample": draw,
    "evaluate": judge,
    "tokenizer": tokenizer,
    "simulate": lambda toy, work: ["simulate", "--output_dir", work / "sim"],
    "playground": lambda toy, work: [],
    "pipeline": lambda toy, work: [
        "--data_dir",
        toy.data,
        "--vavae_path",
        toy.tokenizer,
        "--output_dir",
        work / "out",
    ],
}


def impossible_values(section: str, item: Any) -> Iterator[str]:
    """Values that a key cannot take, by its own description."""
    hint, rule = str(get_type_hints(SECTIONS[section])[item.name]), item.metadata
    if "int" in hint or "float" in hint:
        yield from ("many", "{a: 1}", "1e400", "nan", "true")
        for low, wrong in ((rule["low"], -1), (rule["above"], 0), (rule["high"], 1)):
            if low is not None:
                yield str(low + wrong)
    if "int" in hint:
        yield "1.5"
    if rule["choices"]:
        yield "surprise"
    if "bool" in hint:
        yield "perhaps"
    if "List" not in hint:
        yield "[1, 2]"
        if "Optional" not in hint:  # there it means none
            yield ""


def schema_cases() -> Iterator[Bad]:
    for section, main in MAINS.items():
        for item in fields(SECTIONS[section]):
            for value in impossible_values(section, item):
                yield Bad(
                    f"{section}.{item.name}={value}",
                    main,
                    lambda toy, work, text=f"{section}.{item.name}={value}", section=section: [
                        *REQUIRED[section](toy, work),
                        text,
                    ],
                )


# Numbers that each key may have, but not together with these data or on this machine

ABSURD = [
    Bad("a batch of a billion", stage2.main, lambda toy, work: train(toy, work, batch_size=10**9)),
    Bad("a thousand processes", stage2.main, lambda toy, work: train(toy, work, devices=1000)),
    Bad("steps beyond counting", stage2.main, lambda toy, work: train(toy, work, max_steps=10**30)),
    *(
        Bad(f"model.{text}", stage2.main, lambda toy, work, text=text: [*train(toy, work), f"model.{text}"])
        for text in (
            "num_heads=7",
            "patch_size=3",
            "patch_size=32",
            "hidden_size=10000000000",
            "depth=1000000",
            "hidden_size=6",
            "num_heads=32",
            "mlp_ratio=1e12",
        )
    ),
    Bad("a trillion images", stage3.main, lambda toy, work: draw(toy, work, num_samples_per_user=10**12)),
    Bad("33 guided channels", stage3.main, lambda toy, work: draw(toy, work, guidance_channels=33)),
    Bad(
        "three interval ends",
        stage3.main,
        lambda toy, work: [*draw(toy, work), "guidance_interval=[0, 0.5, 1]"],
        "interval",
    ),
    Bad("users from a list of lists", stage3.main, lambda toy, work: [*draw(toy, work), "user_ids=[[1]]"]),
    Bad("a user of 5000 digits", stage3.main, lambda toy, work: draw(toy, work, user_ids="9" * 5000)),
    Bad("a range without end", stage3.main, lambda toy, work: draw(toy, work, user_ids="1-99999999999999")),
    Bad("user minus one", stage3.main, lambda toy, work: draw(toy, work, user_ids="-1")),
    Bad("user of strange digits", stage3.main, lambda toy, work: draw(toy, work, user_ids="²")),
    Bad(
        "a cell above the recording",
        stage0.main,
        lambda toy, work: recorded(work) and spectrogram(toy, work, prf=1e300),
    ),
    Bad(
        "a carrier near zero",
        stage0.main,
        lambda toy, work: recorded(work) and spectrogram(toy, work, carrier=1e-300),
    ),
    Bad(
        "frames without end",
        stage0.main,
        lambda toy, work: recorded(work) and spectrogram(toy, work, frames_per_second=1e300),
    ),
    Bad(
        "a window without end",
        stage0.main,
        lambda toy, work: recorded(work) and spectrogram(toy, work, window_s=1e300),
    ),
    Bad("axes backwards", stage4.main, lambda toy, work: judge(toy, work, axes=[5, -1, 2]), "--axes"),
    Bad(
        "a judge of no name",
        stage4.main,
        lambda toy, work: judge(toy, work, judge="surprise"),
        "--judge surprise",
    ),
    Bad("two axes", stage4.main, lambda toy, work: judge(toy, work, axes=[5, 6]), "--axes"),
    *(
        Bad(
            f"tokenizer {text}",
            train_tokenizer.main,
            lambda toy, work, text=text: [*tokenizer(toy, work), text],
        )
        for text in (
            "ch=33",
            "ch_mult=[]",
            "ch_mult=[0]",
            "ch_mult=[1,-2]",
            "patch_size=3",
            "crop=33",
            "crop=320",
            "embed_dim=1000000000",
            "ch=3200000000",
            "batch_size=1000000000",
            "num_res_blocks=1000000",
            "align_model=absent_model",
            "align_weights=absent.pt",
        )
    ),
    Bad(
        "a tokenizer of one pixel",
        train_tokenizer.main,
        lambda toy, work: [*tokenizer(toy, work), "ch_mult=[1]", "patch_size=16", "crop=0"],
    ),
]
