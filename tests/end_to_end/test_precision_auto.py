"""`--precision auto` of stages 1 and 3: the faster arithmetic, the same in all that a folder holds."""

import json

import pytest
import torch
from process_pairs import finish, launch
from toy_run import names, output_of, refusal_of, snapshot, words

import stage1_extract_features as stage1
import stage3_inference as stage3
from data.latents import read_latents
from runtime import precision
from sampling.image_folder import sample_rows


@pytest.fixture
def clock(clock, monkeypatch):
    """Here six steps are many."""
    monkeypatch.setattr(precision, "LEAST_STEPS", 6)
    monkeypatch.setattr(precision, "TRIED_STEPS", 6)
    return clock


FP32, BF16 = {"32": 0.1, "bf16-mixed": 0.2}, {"32": 0.2, "bf16-mixed": 0.1}


def extraction(toy, out, *more):
    return f"--data_dir {toy.data} --vavae_path {toy.tokenizer} --output_path {out} --device cpu", *more


def drawing(toy, out, count, *more):
    given = f"--output_dir {out} --num_steps 2 --user_ids 1 2 --num_samples_per_user {count} --device cpu"
    return *toy.networks, given, *more


def precisions(out) -> list[tuple[str, str]]:
    """The arithmetic of network and tokenizer of every image."""
    return [(row["precision"], row["tokenizer_precision"]) for row in sample_rows(out)]


def kept(out) -> dict[str, str]:
    values = json.loads((out / "precision.json").read_text())["cpu"]
    return {name: value["precision"] for name, value in values.items()}


@pytest.mark.parametrize(("seconds", "name", "expected"), [(BF16, "bf16-mixed", "bf16"), (FP32, "32", "32")])
def test_stage_1_encodes_in_the_faster_arithmetic(toy, tmp_path, clock, seconds, name, expected):
    taken = clock(**seconds)
    said = output_of(stage1.main, *extraction(toy, tmp_path / "auto"))
    assert f"precision auto, tokenizer: {name}, 2.00 x as fast as" in said
    assert set(taken) == {"32", "bf16-mixed"} and kept(tmp_path / "auto") == {"tokenizer": name}
    taken.clear()
    output_of(stage1.main, *extraction(toy, tmp_path / "named", "--precision", name))
    assert not taken
    both = [read_latents(tmp_path / folder, "train") for folder in ("auto", "named")]
    assert torch.equal(both[0].latents[:], both[1].latents[:])
    assert [one.metadata["precision"] for one in both] == [expected] * 2
    before = snapshot(tmp_path / "auto")
    assert "wrote 0 latents" in output_of(stage1.main, *extraction(toy, tmp_path / "auto"))
    assert not taken and snapshot(tmp_path / "auto") == before


def test_stage_1_goes_on_in_what_it_was_begun_with(toy, tmp_path, clock):
    clock(**BF16)
    output_of(stage1.main, *extraction(toy, tmp_path))
    (tmp_path / "val.safetensors").unlink()
    taken = clock(**FP32)
    assert "as chosen when this folder was begun" in output_of(stage1.main, *extraction(toy, tmp_path))
    assert not taken and read_latents(tmp_path, "val").metadata["precision"] == "bf16"


def test_stage_3_draws_all_images_of_a_folder_alike(toy, tmp_path, clock):
    taken = clock(**BF16)
    output_of(stage3.main, *drawing(toy, tmp_path, 3))
    assert set(taken) == {"32", "bf16-mixed"} and precisions(tmp_path) == [("bf16-mixed", "bf16")] * 6
    before = snapshot(tmp_path)
    (tmp_path / "micro_doppler_user01_002.png").unlink()
    taken = clock(**FP32)
    output_of(stage3.main, *drawing(toy, tmp_path, 3))
    output_of(stage3.main, *drawing(toy, tmp_path, 4))
    assert not taken and precisions(tmp_path) == [("bf16-mixed", "bf16")] * 8
    after = snapshot(tmp_path)
    for name in names(tmp_path, "*_00[123].png"):
        assert after[name][1] == before[name][1], name


def test_stage_3_measures_network_and_tokenizer_each(toy, tmp_path, monkeypatch, clock):
    clock(**BF16)
    choose = precision.choose
    faster = {"network": BF16, "tokenizer": FP32}

    def choose_by(what, *arguments, **keywords):
        clock(**faster[what])
        return choose(what, *arguments, **keywords)

    monkeypatch.setattr(precision, "choose", choose_by)
    monkeypatch.setattr("sampling.image_sampler.choose", choose_by)
    output_of(stage3.main, *drawing(toy, tmp_path, 3))
    assert kept(tmp_path) == {"network": "bf16-mixed", "tokenizer": "32"}
    assert precisions(tmp_path) == [("bf16-mixed", "32")] * 6


def test_a_few_images_are_drawn_in_fp32_and_later_ones_too(toy, tmp_path, clock):
    taken = clock(**BF16)
    output_of(stage3.main, *drawing(toy, tmp_path, 1))
    output_of(stage3.main, *drawing(toy, tmp_path, 4))
    assert not taken and precisions(tmp_path) == [("32", "32")] * 8


def test_a_named_arithmetic_is_not_measured_and_a_refused_run_keeps_nothing(toy, tmp_path, clock):
    taken = clock(**BF16)
    output_of(stage3.main, *drawing(toy, tmp_path, 3, "--precision", "32"))
    assert "skipped" in output_of(stage3.main, *drawing(toy, tmp_path, 3))
    refusal_of(stage3.main, *drawing(toy, tmp_path, 4, "--seed", "5"), unchanged=tmp_path)
    assert not taken and not (tmp_path / "precision.json").exists()


@pytest.mark.slow
def test_two_processes_take_the_main_one_s_choice(toy, tmp_path):
    many = words(drawing(toy, tmp_path / "images", precision.LEAST_STEPS, "--devices 2"))
    status, output, errors = finish(launch(["stage3_inference.py", *many]))
    assert status == 0, errors
    assert output.count("precision auto, network: ") == output.count("precision auto, tokenizer: ") == 1
    values = kept(tmp_path / "images")
    expected = values["network"], {"32": "32", "bf16-mixed": "bf16"}[values["tokenizer"]]
    assert set(precisions(tmp_path / "images")) == {expected}
    few = words(extraction(toy, tmp_path / "latents", "--devices 2 --batch_size 4"))
    status, _, errors = finish(launch(["stage1_extract_features.py", *few]))
    assert status == 0, errors
    assert read_latents(tmp_path / "latents", "train").metadata["precision"] == "32"
