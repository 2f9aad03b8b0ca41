"""The doctor's findings where something is wrong, its exit status, and what it repairs."""

import sys
from collections import namedtuple

import pytest
import torch
from tiny_runs import write_tiny_latents
from toy_run import output_of, refusal_of, run_as_script, snapshot

import stage0_prepare
from configs.schema import DoctorConfig
from data.latent_stats import LatentStatistics
from data.latents import read_latents
from preparation import doctor
from preparation.download import PUBLISHED

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """No test waits for a network."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def card(monkeypatch, name, capability, built, count=1, memory=16 * 2**30):
    """This machine with `count` cards, and a torch with kernels for `built`."""
    for function, answer in {
        "is_available": True,
        "device_count": count,
        "get_device_name": name,
        "get_device_capability": capability,
        "get_arch_list": built,
        "mem_get_info": (memory, memory),
    }.items():
        monkeypatch.setattr(torch.cuda, function, lambda *arguments, answer=answer: answer)


def one_line(findings):
    return [(finding.level, finding.topic, finding.text) for finding in findings]


def test_a_sound_machine_is_status_0_and_one_screen(tmp_path):
    said = output_of(stage0_prepare.main, "doctor", "--output_dir", tmp_path, "--weights_dir", tmp_path)
    lines = said.splitlines()
    assert len(lines) < 25 and all(line[:4].strip() in ("ok", "note") for line in lines)
    for word in (
        f"Python {sys.version.split()[0]}",
        f"torch {torch.__version__}",
        "GiB free at",
        "S/2",
        "XL/1",
        "does not answer",
        "not in",
        "compact: the tokenizer that ships is there",
    ):
        assert word in said


# What builds of torch hold, by its table of releases (CUDA 12.6 to 2.14; 12.8 until 2.10 and in 2.11; 13).
CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CU128 = ["sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]
CU130 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
CARDS = {
    "Tesla P100-PCIE-16GB": (6, 0),
    "Tesla V100-SXM2-16GB": (7, 0),
    "Tesla T4": (7, 5),
    "NVIDIA L4": (8, 9),
    "NVIDIA RTX PRO 6000 Blackwell": (12, 0),
    "NVIDIA A100-SXM4-40GB": (8, 0),
    "NVIDIA H100": (9, 0),
}
SERVED = {
    "CU126": (CU126, (6, 0), (9, 0)),
    "CU128": (CU128, (7, 0), (12, 0)),
    "CU130": (CU130, (7, 5), (12, 0)),
}
VERDICTS = {
    (6, 0): "no tensor cores, neither fp16 nor bf16 pays: --precision auto tries 32",
    (7, 0): "fp16 in hardware, bf16 only emulated: --precision auto tries 32 and 16-mixed",
    (8, 0): "bf16 in hardware: --precision auto tries 32 and bf16-mixed",
}


@pytest.mark.parametrize("build", SERVED)
@pytest.mark.parametrize("name", CARDS)
def test_every_card_has_a_verdict_under_every_build(monkeypatch, name, build):
    (kernels, lowest, highest), capability = SERVED[build], CARDS[name]
    card(monkeypatch, name, capability, kernels)
    ((level, topic, text),) = one_line(doctor.graphics_cards())
    number = ".".join(map(str, capability))
    assert topic == "GPU" and name in text and f"compute capability {number}" in text
    if lowest <= capability <= highest:
        assert level == "ok" and VERDICTS[max(key for key in VERDICTS if key <= capability)] in text
    else:
        old = capability < lowest
        assert level == "FAIL" and "choose another accelerator (Kaggle: T4 x2)" in text
        assert ("torch 2.8 to 2.14 built for CUDA 12.6 (+cu126)" in text) == old
        assert ("built for CUDA 12.8 or newer" in text) != old


def test_kernels_reach_within_a_major_version_and_ptx_beyond(monkeypatch):
    for built, level in (
        (["sm_80"], "ok"),
        (["sm_86"], "ok"),
        (["sm_90"], "FAIL"),
        (["sm_75"], "FAIL"),
        (["sm_75", "compute_75"], "ok"),
        (["compute_90"], "FAIL"),
        ([], "ok"),
    ):
        card(monkeypatch, "NVIDIA L4", (8, 9), built)
        assert next(doctor.graphics_cards()).level == level, built


def test_two_t4_train_together_where_torch_has_nccl(monkeypatch):
    card(monkeypatch, "Tesla T4", (7, 5), CU128, count=2)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    lines = one_line(doctor.graphics_cards())
    assert [level for level, _, _ in lines] == ["ok"] * 3 and "cuda:1 Tesla T4" in lines[1][2]
    assert "2 GPUs: train on all by --devices 2" in lines[2][2]
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    assert one_line(doctor.graphics_cards())[2][0] == "warn"


def test_a_driver_without_a_usable_card_is_the_installation_s_fault():
    assert doctor.no_graphics_card(driver=False).level == "note"
    warning = doctor.no_graphics_card(driver=True)
    assert warning.level == "warn" and "install a torch built for that version" in warning.text


def test_sizes_follow_memory_and_disk(monkeypatch, tmp_path):
    card(monkeypatch, "Tesla T4", (7, 5), ["sm_75"], memory=15 * 2**30)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2 * 10**10, 0, 2 * 10**10))
    topics = {topic: (level, text) for level, topic, text in one_line(doctor.sizes(tmp_path))}
    assert topics["disk"][0] == topics["S/2"][0] == "ok" and "18.6 GiB free" in topics["disk"][1]
    assert topics["XL/1"][0] == "note" and "too large" in topics["XL/1"][1]
    assert "more than is free" in topics["XL/1"][1] and "more than is free" not in topics["S/2"][1]
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(10**9, 0, 10**9))
    assert next(doctor.sizes(tmp_path)).level == "FAIL"


def test_old_packages_are_named(monkeypatch, tmp_path):
    (tmp_path / "requirements.txt").write_text(
        "numpy>=99.0\ntorch>=2.4\ntorchvision>=0.19\nabsent-thing>=1.0\npytorch-lightning>=2.5\n"
    )
    monkeypatch.setattr(doctor, "REQUIREMENTS", tmp_path / "requirements.txt")
    text = list(doctor.packages())[-1].text
    assert "needs 99.0; absent-thing absent, needs 1.0: pip install -r requirements.txt" in text


def test_a_package_that_one_option_needs_is_a_note(monkeypatch):
    def absent(name):
        if name in doctor.NEEDED_ONLY_FOR:
            raise doctor.PackageNotFoundError(name)
        return "99"

    monkeypatch.setattr(doctor, "version", absent)
    _, (level, _, text) = one_line(doctor.packages())
    assert level == "note" and text.startswith("torchvision absent, needs 0.19, only for torch-f")
    assert "huggingface_hub absent, needs 0.30, only for weights named hf://…, and download" in text
    assert "timm absent, needs 1.0.10, only for --align_model" in text
    assert "torch-fidelity absent, needs 0.4.0, only for stage4_evaluate.py fid and --inception" in text
    assert "torchdiffeq absent, needs 0.2.4, only for --sampler dopri5" in text and "h5py absent" in text


def test_exit_status_and_damaged_weights(tmp_path):
    name = PUBLISHED["latents-stats"].file
    LatentStatistics(torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)).save(tmp_path / name)
    flags = ("doctor", "--output_dir", tmp_path, "--weights_dir", tmp_path)
    assert f"{name}: {(tmp_path / name).stat().st_size:,} bytes, loads, sha256" in output_of(
        stage0_prepare.main, *flags
    )
    (tmp_path / f"{name}.sha256").write_text("0" * 64 + f"  {name}\n")
    status, said, _ = run_as_script(stage0_prepare.main, *flags)
    assert status == 2 and "FAIL  weights" in said
    levels = {"ok": 0, "note": 0, "warn": 1, "FAIL": 2}
    for level, status in levels.items():
        assert doctor.exit_status([doctor.Finding("ok", "", ""), doctor.Finding(level, "", "")]) == status


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "no mean": lambda path: torch.save({"std": torch.ones(1, 4, 1, 1)}, path),
    "no list": lambda path: torch.save([], path),
    "shape": lambda path: torch.save({"mean": torch.zeros(4), "std": torch.ones(4)}, path),
    "nan": lambda path: torch.save(
        {"mean": torch.full((1, 4, 1, 1), torch.nan), "std": torch.ones(1, 4, 1, 1)}, path
    ),
    "absent": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:200]),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_broken_statistics_are_found_and_computed_anew(tmp_path, broken):
    path = write_tiny_latents(tmp_path / "latents") / "latents_stats.pt"
    BROKEN[broken](path)
    before = snapshot(tmp_path)
    finding = doctor.statistics(path.parent, fix=False)
    assert finding.level == "FAIL" and "doctor --fix --latent_dir" in finding.text
    assert snapshot(tmp_path) == before
    assert doctor.statistics(path.parent, fix=True).text.endswith("recomputed from 22 latents")
    latents = read_latents(path.parent, "train")
    expected = LatentStatistics.from_latents(latents.latents, latents.latents_std)
    mended = LatentStatistics.load(path)
    assert torch.equal(mended.mean, expected.mean) and torch.equal(mended.std, expected.std)
    whole = path.read_bytes()
    assert doctor.statistics(path.parent, fix=True).text.endswith("whole") and path.read_bytes() == whole


def test_fix_needs_a_folder_with_latents(tmp_path):
    assert "--fix: say which latents by --latent_dir" in refusal_of(stage0_prepare.main, "doctor", "--fix")
    (tmp_path / "latents").mkdir()
    with pytest.raises(FileNotFoundError, match="expected train.safetensors"):
        list(doctor.examine(DoctorConfig(str(tmp_path), str(tmp_path), str(tmp_path / "latents"), True)))
