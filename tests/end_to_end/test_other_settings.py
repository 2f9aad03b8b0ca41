"""Every key that affects the output, one by one: a folder made with another value is refused by its name."""

import shutil
from dataclasses import fields

import pytest
from saved_latents import write_again
from test_every_command import command, made  # noqa: F401 (a fixture)
from toy_run import run_as_script, save_tokenizer, snapshot

import data.run_record
from benchmarks.compare_fid import write_random_weights
from configs.schema import SECTIONS
from data.latents import read_metadata

OWNERS = {"model": "train", "transport": "train"}
WALKED = "simulate split train model transport sample evaluate judge sweep study fid tokenizer".split()
MADE_OTHERWISE = ("was made with other settings", "holds another split")
NEEDS_MORE = {  # refused in the same folder by a word of its own, or in need of another key that is walked
    ("model", "preset"),  # known by the sizes that it stands for
    ("train", "tune"),
    ("train", "distil_guidance"),  # requires init_from
    ("sample", "few_steps"),  # of few-step models
    ("sample", "select"),
    ("sample", "vavae_path"),
    ("sample", "latents_stats"),
    ("sample", "guidance_condition"),
    ("sample", "guidance_person"),
    ("sample", "restart_interval"),  # counts with restarts alone
    ("sample", "atol"),  # with dopri5
    ("sample", "rtol"),
    ("transport", "loss_weight"),  # with other predictions
    ("sample", "references"),  # refused where the model has rows
    ("sample", "axes"),  # refused where the model tells others
    ("sweep", "vavae_path"),
    ("study", "dit_checkpoint"),  # refused where the model has rows
    ("study", "new_people"),  # of a design of its own
    ("study", "day_images"),
    ("study", "conditions"),
    ("tokenizer", "align_model"),
    ("tokenizer", "align_weight"),
    ("tokenizer", "align_weights"),
    ("tokenizer", "ch_mult"),
    ("tokenizer", "patch_size"),
    ("split", "name"),
    ("split", "labels"),  # known by whose images they make them
    ("split", "hold_out"),  # requires groups
}
GIVEN = {
    "hidden_size": 64,
    "num_heads": 4,
    "patch_size": 1,
    "depth": 2,
    "loss_weight": "velocity",
    "train_eps": 0.01,
    "sample_eps": 0.01,
    "validate_every": 5,
    "conditions": "_[0-9]+$",
    "guidance_interval": "[0.2,1.0]",
    "guidance_channels": 3,
    "colour_map": "viridis",
    "recordings": "rec(.)",
    "ch": 64,
    ("tokenizer", "crop"): 96,
    ("evaluate", "judge"): "resnet18",
    ("study", "design"): "new-person",
    ("study", "images_per_person"): 2,
    "test_fraction": 0.1,
    "num_generated": 5,
    "leave_out": "[ID_1/*]",
}


def keys():
    return [
        (section, item.name)
        for section in WALKED
        for item in fields(SECTIONS[section])
        if item.metadata["affects"] == "output" and (section, item.name) not in NEEDS_MORE
    ]


@pytest.fixture(scope="module")
def others(toy, made, tmp_path_factory):  # noqa: F811
    """Inputs of the same kind with another content."""
    folder = tmp_path_factory.mktemp("others")
    shutil.copytree(toy.images, folder / "images")
    next((folder / "images/ID_1").iterdir()).unlink()
    for split in ("train", "val"):
        old = read_metadata(toy.latents, split)
        known = {name: old[name] for name in ("tokenizer_digest", "preprocessing")} | {
            "inputs_digest": "0" * 64
        }
        write_again(toy.latents, folder / "latents", split, known)
    shutil.copy(toy.latents / "latents_stats.pt", folder / "latents")
    return {
        "input_dir": folder / "images",
        "latent_dir": folder / "latents",
        "init_from": toy.checkpoint,
        "dit_checkpoint": toy.checkpoint,
        "real": made / "real",
        "data_dir": made / "real",
        ("judge", "real"): toy.data,
        "generated": toy.images,
        "reference": made / "real",
        "inception_path": write_random_weights(folder / "inception.pth", seed=1),
        ("study", "real"): toy.data,
        ("study", "vavae_path"): save_tokenizer(folder / "W.safetensors", seed=1),
        ("tokenizer", "init_from"): save_tokenizer(folder / "W.safetensors", seed=1),
    }


@pytest.fixture(scope="module")
def claimed(toy, made, tmp_path_factory):  # noqa: F811
    """A command's arguments and a folder that it has claimed; it is stopped there."""
    kept = {}

    def claim(section):
        if section not in kept:
            out = tmp_path_factory.mktemp(section) / "out"
            main, arguments = command(section, toy, made, out)
            if section == "split":
                arguments = [f"split --input_dir {toy.images} --output_dir {out} guard=1"]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(data.run_record, "write_text", stop_after(data.run_record.write_text))
                assert run_as_script(main, *arguments)[0] == (0 if section == "split" else 130)
            kept[section] = main, arguments, out
        return kept[section]

    return claim


def stop_after(function):
    def stopped(*arguments):
        function(*arguments)
        raise KeyboardInterrupt

    return stopped


def other_value(section, item, others):
    """Another value than the default and than the one of `command`."""
    for name in ((section, item.name), item.name):
        if name in others or name in GIVEN:
            return others.get(name, GIVEN.get(name))
    default = item.default if isinstance(item.default, (bool, int, float, str, type(None))) else None
    choices = [choice for choice in item.metadata["choices"] if choice not in (default, "normal", None)]
    if choices:
        return choices[0] if isinstance(default, str) else f"[{choices[0]}]"
    return (
        not default
        if isinstance(default, bool)
        else default + 3
        if isinstance(default, int)
        else (default * 0.9 or 0.25)
    )


@pytest.mark.parametrize(("section", "name"), keys())
def test_another_value_is_refused(section, name, claimed, others):
    main, arguments, out = claimed(OWNERS.get(section, section))
    item = SECTIONS[section].__dataclass_fields__[name]
    before = snapshot(out)
    status, _, err = run_as_script(main, *arguments, f"{section}.{name}={other_value(section, item, others)}")
    named = {"input_dir": "inputs", "leave_out": "inputs"}.get(name, name)
    assert status == 2 and any(words in err for words in MADE_OTHERWISE) and named in err, err
    assert snapshot(out) == before


def test_a_study_is_known_by_the_axes_of_its_images_too(claimed, made, tmp_path):  # noqa: F811
    main, arguments, out = claimed("study")
    real = shutil.copytree(made / "real", tmp_path / "real")
    images = [file.relative_to(real).as_posix() for file in sorted(real.rglob("*.png"))]
    head = "path,start_s,end_s,lowest_mps,highest_mps"
    (real / "axes.csv").write_text("\n".join([head, *(f"{image},0,2,-5,5" for image in images)]) + "\n")
    before = snapshot(out)
    status, _, err = run_as_script(main, *arguments, "--real", real)
    assert status == 2 and MADE_OTHERWISE[0] in err and "known_axes" in err, err
    assert snapshot(out) == before
