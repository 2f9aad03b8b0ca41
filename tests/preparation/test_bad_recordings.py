"""Recordings that cannot be read are told of together, and the command that is told then works."""

import shlex

import numpy
import pytest
from toy_run import names, output_of, refusal_of

import stage0_prepare

NOISE = numpy.random.default_rng(0).normal(size=(6000, 2)) @ numpy.array([1, 1j])


def command(folder, *more):
    given = ("--input", folder / "in", "--output_dir", folder / "raw", "--carrier", "24e9", "--prf", 2000)
    return stage0_prepare.main, "spectrogram", *given, *more


def recordings(folder, **arrays):
    for name, array in arrays.items():
        path = folder / "in" / f"{name.replace('__', '/')}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        numpy.save(path, array)


def told_flags(text):
    """The flags after "go on without them by"."""
    return shlex.split(text.rpartition("go on without ")[2].partition(" by ")[2])


@pytest.fixture
def mixed(tmp_path):
    short, table = NOISE[:1500], numpy.stack([NOISE.real, NOISE.imag])
    recordings(tmp_path, ID_1__a=NOISE, ID_1__b=table, ID_2__a=short, ID_3__a=table, ID_3__b=table)
    return tmp_path


def test_all_of_them_are_named_with_the_command_that_goes_on_without(mixed):
    text = refusal_of(*command(mixed))
    assert "ID_1/b.npy: shape (2, 6000)" in text and "ID_3/a.npy, ID_3/b.npy" in text
    flags = told_flags(text)
    assert flags == ["--leave_out", "ID_2/*", "ID_3/*", "ID_1/b.npy"]
    output_of(*command(mixed, *flags))
    assert {name.split("_0")[0] for name in names(mixed / "raw", "*.png")} == {"ID_1/a"}


def test_people_of_whom_all_is_skipped_are_named_together(mixed):
    text = refusal_of(*command(mixed, "--skip_bad_recordings"))
    assert told_flags(text.replace("these people", "them")) == ["--leave_out", "ID_2/*", "ID_3/*"]


def test_other_settings_begin_anew_where_no_run_has_ended(mixed):
    refusal_of(*command(mixed))
    output_of(*command(mixed, "--layout", "iq,pulses", "--frames", 12))
    assert len(names(mixed / "raw", "*.png")) > 8 and (mixed / "raw/axes.csv").is_file()
    assert "frames was 12, now 20" in refusal_of(*command(mixed, "--layout", "iq,pulses", "--frames", 20))
    output_of(*command(mixed, "--layout", "iq,pulses", "--frames", 12, "--leave_out", "ID_3/*"))


def test_settings_that_fit_nothing_are_told_of_without_leaving_anybody_out(tmp_path):
    recordings(tmp_path, ID_1__a=NOISE.real, ID_2__a=NOISE.real)
    text = refusal_of(*command(tmp_path), unchanged=tmp_path)
    assert "--folded draws its speeds" in text and "--leave_out" not in text and "1 more" in text
