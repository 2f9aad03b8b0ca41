"""Stages 1 and 3 by two CPU processes, started as a user starts them, write what one process writes."""

import os
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from process_pairs import finish, kill_one_of_two, launch, wait_until
from toy_run import DRAWING, EXACT, digest_of, names, words

from runtime.processes import ProcessGroup, start_process_group


def test_every_item_goes_to_one_process():
    group = ProcessGroup(None)
    for size in (1, 2, 3):
        shares = []
        for rank in range(size):
            group.rank, group.size = rank, size
            shares.append(group.shard(range(7)))
        assert sorted(item for share in shares for item in share) == list(range(7))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_whose_main_process_has_ended_does_not_go_on(monkeypatch):
    group = ProcessGroup(None)
    group.rank = 1
    group.end_with_the_main_process()
    monkeypatch.setattr(os, "getppid", lambda: -1)
    with pytest.raises(RuntimeError, match="main process has ended"):
        group.end_with_the_main_process()
    group.rank = 0  # whoever started the main process may leave it
    group.end_with_the_main_process()


def test_one_process_has_nobody_to_wait_for():
    group = start_process_group(torch.device("cpu"), "1")
    group.barrier()
    assert (group.rank, group.size, group.broadcast("plan")) == (0, 1, "plan")


@pytest.mark.parametrize(
    ("device", "devices", "said"),
    [("cpu", "0", "--devices 0"), ("cpu", "two", "--devices two"), ("mps", "2", "--devices 2")],
)
def test_impossible_numbers_are_refused(device, devices, said):
    with pytest.raises(ValueError, match=said):
        start_process_group(torch.device(device), devices)


def extraction(toy, out: Path, *more: str) -> list[str]:
    return ["stage1_extract_features.py", *words([*toy.extraction, "--output_path", out, *more])]


def drawing(toy, out: Path, *more: str) -> list[str]:
    given = *toy.networks, "--output_dir", out, "--batch_size", 2, *DRAWING, *EXACT, *more
    return ["stage3_inference.py", *words(given)]


@pytest.mark.slow
def test_two_processes_extract_what_one_does(toy, tmp_path):
    status, output, errors = finish(launch(extraction(toy, tmp_path / "two", "--devices", "2")))
    assert status == 0, errors
    assert output.count("wrote 24 latents") == 1
    status, _, errors = finish(launch(extraction(toy, tmp_path / "one")))
    assert status == 0, errors
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in names(tmp_path / "one"):
        assert digest_of(tmp_path / "one" / name) == digest_of(tmp_path / "two" / name), name


@pytest.mark.slow
def test_two_processes_draw_what_one_does_and_nothing_twice(toy, tmp_path):
    for folder, more in (("one", ()), ("two", ("--devices", "2"))):
        status, output, errors = finish(launch(drawing(toy, tmp_path / folder, *more)))
        assert status == 0, errors
        assert output.count("wrote 6 images") == 1
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for name in names(tmp_path / "one"):
        assert digest_of(tmp_path / "one" / name) == digest_of(tmp_path / "two" / name), name
    drawn = names(tmp_path / "two", "*_0*.png")
    kept = {name: (tmp_path / "two" / name).stat().st_mtime_ns for name in drawn}
    gone = sorted(kept)[3]
    before = numpy.asarray(Image.open(tmp_path / "two" / gone))
    (tmp_path / "two" / gone).unlink()
    status, output, errors = finish(launch(drawing(toy, tmp_path / "two", "--devices", "2")))
    assert status == 0 and "wrote 1 images" in output, errors
    assert (numpy.asarray(Image.open(tmp_path / "two" / gone)) == before).all()
    for name in kept.keys() - {gone}:
        assert (tmp_path / "two" / name).stat().st_mtime_ns == kept[name]


@pytest.mark.slow
def test_a_refusal_is_said_once_before_anything_is_started(toy, tmp_path):
    given = extraction(toy, tmp_path / "x", "--devices 2 --imagenet_stats no.pt")
    status, _, errors = finish(launch(given))
    assert status == 2 and errors.count("error: ") == 1


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_in_bounded_time(toy, tmp_path, rank):
    """Either of the two; what was written is whole, and the same command completes it."""
    command = drawing(toy, tmp_path, "--devices 2 --num_samples_per_user 400 --num_steps 20")
    main = launch(command)
    wait_until(lambda: len(list(tmp_path.glob("micro_doppler_*.png"))) >= 6, 240)
    kill_one_of_two(main, rank)
    for path in tmp_path.glob("micro_doppler_*.png"):
        Image.open(path).load()
