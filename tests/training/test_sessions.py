"""A run cut into sessions, by the clock or by another folder, is the run; two at once in a folder are not."""

import os
import shutil
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import assert_same, assert_same_run, read_last, train, train_with

from training.claim import TIME_IS_UP, steps_done

AT_ONCE = 1e-9  # hours: every start stops after its first step


@pytest.fixture(scope="module")
def six(latents, tmp_path_factory) -> Path:
    """Six steps at once."""
    folder = tmp_path_factory.mktemp("six") / "run"
    train(latents, folder)
    return folder


@pytest.fixture
def first(latents, tmp_path) -> Path:
    """The first half of it."""
    for _ in range(3):
        train(latents, tmp_path / "first", max_hours=AT_ONCE)
    return tmp_path / "first"


def test_stopped_by_the_clock_after_every_step_it_is_the_same_run(latents, six, tmp_path, capsys):
    for step in range(1, 6):
        train(latents, tmp_path, max_hours=AT_ONCE)
        said = capsys.readouterr().out
        assert f"time is up: stopped at step {step} of 6" in said and "next: python" not in said
        assert steps_done(tmp_path) == step and (tmp_path / TIME_IS_UP).is_file()
    train(latents, tmp_path, max_hours=AT_ONCE)
    assert "next: python" in capsys.readouterr().out and not (tmp_path / TIME_IS_UP).exists()
    assert_same_run(tmp_path, six)


def test_the_clock_waits_for_the_end_of_an_accumulated_step(latents, tmp_path):
    settings = {"accumulate": 3, "max_steps": 3, "validate_every": 2}
    train(latents, tmp_path / "whole", **settings)
    for step in (1, 2, 3):
        train(latents, tmp_path / "parts", max_hours=AT_ONCE, **settings)
        assert steps_done(tmp_path / "parts") == step
    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_enough_time_stops_nothing(latents, six, tmp_path):
    train(latents, tmp_path, max_hours=1.0)
    assert_same_run(tmp_path, six)


def test_the_next_session_goes_on_from_a_folder_that_it_only_reads(latents, six, first, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    for _ in range(2):  # the second time there is nothing left to bring
        train(latents, tmp_path / "second", resume_from=str(first))
    said = f"second has a run of its own, which goes on; --resume_from {first} is not read"
    assert capsys.readouterr().out.count(said) == 1
    assert (first / TIME_IS_UP).is_file() and not (tmp_path / "second" / TIME_IS_UP).exists()
    assert_same_run(tmp_path / "second", six)
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert steps_done(first) == 3


def test_what_was_not_brought_whole_is_brought_again(latents, six, first, tmp_path):
    shutil.copytree(first, tmp_path / "second")
    (tmp_path / "second/checkpoints/last.ckpt").unlink()
    (tmp_path / "second/checkpoints/best.safetensors").write_bytes(b"half")
    train(latents, tmp_path / "second", resume_from=str(first))
    assert_same_run(tmp_path / "second", six)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": 0.5}, "train.lr was 0.01, now 0.5; repeat its settings"),
        ({"resume_from": "absent"}, "--resume_from absent: no run.json and checkpoints/last.ckpt inside"),
    ],
)
def test_an_earlier_session_that_does_not_fit_is_refused(latents, six, tmp_path, changes, said):
    with pytest.raises(ValueError, match="(?s).*") as caught:
        train(latents, tmp_path / "run", **{"resume_from": str(six), **changes})
    assert said in str(caught.value) and not (tmp_path / "run").exists()


def test_a_clock_that_jumps_disturbs_nothing(latents, six, tmp_path, monkeypatch):
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + (-1) ** next(jumps) * 1e8)
    train(latents, tmp_path, max_steps=3, max_hours=1.0)
    for path in (tmp_path / "checkpoints").iterdir():
        os.utime(path, (4e9, 4e9))  # written in the future
    train(latents, tmp_path, max_hours=1.0)
    assert steps_done(tmp_path) == 6
    for name in ("optimizer_states", "state_dict"):
        assert_same(read_last(tmp_path)[name], read_last(six)[name])


class AfterBackward(pl.Callback):
    """Does something to the network between a step's gradients and its update."""

    def __init__(self, step: int, act) -> None:
        self.step, self.act = step, act

    def on_after_backward(self, trainer, module) -> None:
        if trainer.global_step == self.step:
            self.act(next(module.net.parameters()))


def refusal_with(callback, latents, folder) -> str:
    """The refusal with which a run ends that `callback` takes part in."""
    with pytest.raises(ValueError) as caught:
        train_with(callback, latents, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("step", [3, 5])
def test_a_gradient_that_is_not_a_number_stops_before_the_next_save(latents, six, tmp_path, step):
    bad = AfterBackward(step, lambda weight: weight.grad.view(-1)[:1].fill_(float("nan")))
    said = refusal_with(bad, latents, tmp_path)
    assert "no longer finite" in said and "last.ckpt is intact" in said
    assert steps_done(tmp_path) == 3
    assert all(value.isfinite().all() for value in read_last(tmp_path)["state_dict"].values())
    train(latents, tmp_path)  # a flash of bad luck does not come twice
    assert_same_run(tmp_path, six)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: …"),
        MemoryError(),
    ],
)
def test_too_little_memory_says_what_to_change(latents, tmp_path, error):
    def fail(_):
        raise error

    said = refusal_with(AfterBackward(4, fail), latents, tmp_path)
    assert "out of memory with --batch_size 4" in said and "--batch_size 2 accumulate=2" in said
    assert "goes on with --use_checkpoint in this" in said
    train(latents, tmp_path, model_use_checkpoint=True)
    assert steps_done(tmp_path) == 6


def test_best_holds_the_averaged_weights_alone(six):
    best = torch.load(six / "checkpoints/best.ckpt", weights_only=True)
    last = torch.load(six / "checkpoints/last.ckpt", weights_only=True)
    assert {name.partition(".")[0] for name in best["state_dict"]} == {"ema"}
    assert {"optimizer_states", "callbacks"} <= set(last) - set(best)
