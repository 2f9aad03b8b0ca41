"""Every command of docs/data.md that reads data does so, on small inputs called as the page calls them."""

from pathlib import Path

import numpy
import pytest
from drawn_walks import drawn, figure
from fmcw_walker import Chirps, beat, walking
from PIL import Image
from test_readme import PROJECT, commands_in
from toy_run import names, output_of

import stage0_prepare

PAGE = (PROJECT / "docs/data.md").read_text(encoding="utf-8")
COMMANDS = [command[1:] for command in commands_in(PAGE) if command[0] == "stage0_prepare.py"]
SECONDS, PRF = 4, 2000
RANDOM = numpy.random.default_rng(0)


def images(folder: Path, *stems: str) -> None:
    for seed, name in enumerate(stems):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        drawn(seed=3 * seed).save(folder / f"{name}.png")


def arrays(folder: Path, *shape: int) -> None:
    for person in (1, 2):
        (folder / f"ID_{person}").mkdir(parents=True)
        noise = RANDOM.standard_normal(shape) if 2 in shape or len(shape) == 1 else RANDOM.random(shape)
        numpy.save(folder / f"ID_{person}/a.npy", noise)


def raw(folder: Path) -> None:
    images(folder, *(f"ID_{person}/a{k:02d}" for person in (1, 2) for k in range(8)))


def flat_with_table(folder: Path) -> None:
    images(folder, *(f"img_{k:02d}" for k in range(16)))
    rows = [f"img_{k:02d}.png,{'anna' if k % 2 else 'bob'}" for k in range(16)]
    Path("people.csv").write_text("\n".join(["file,person", *rows]))


def flat(folder: Path) -> None:
    images(folder, *(f"P{p}_220{day}_rec{r}" for p in (1, 2) for day in (110, 129) for r in (1, 2)))


def figures(folder: Path) -> None:
    for person in (1, 2):
        (folder / f"ID_{person}").mkdir(parents=True)
        for k in range(6):
            Image.fromarray(figure(seed=6 * person + k)[0]).save(folder / f"ID_{person}/a{k}.png")


def recordings(folder: Path) -> None:
    (folder / "ID_7").mkdir(parents=True)
    numpy.save(folder / "ID_7/monday.npy", RANDOM.standard_normal((SECONDS * PRF, 2)) @ numpy.array([1, 1j]))


def named(folder: Path) -> None:
    folder.mkdir(parents=True)
    for person in (1, 2):
        samples = RANDOM.standard_normal((SECONDS * PRF, 2)) @ numpy.array([1, 1j])
        numpy.save(folder / f"220110_{person}_walk_15.npy", samples)


def walks(folder: Path) -> None:
    images(folder, *(f"ID_{person}/rec{k}_001" for person in (1, 2) for k in (1, 2, 3)))


def dated(folder: Path) -> None:
    days = ((110, 1), (129, 1), (129, 2))
    images(folder, *(f"P{person}_220{day}_rec{k}" for person in (1, 2) for day, k in days))


def bursts(folder: Path) -> None:
    (folder / "ID_1").mkdir(parents=True)
    for part in ("RE", "IM"):
        samples = RANDOM.integers(0, 4096, 15 * 128)
        (folder / f"ID_1/a_{part}.txt").write_text("\n".join(map(str, samples)))


def captures(folder: Path) -> None:
    """Infineon's text of Doppler frames: all I, then all Q of a frame."""
    said = dict(
        Num_Rx_Antennas=1,
        Modulation_Type_Enum=0,
        Lower_RF_Frequency_kHz=24050000,
        Upper_RF_Frequency_kHz=24250000,
        Sampling_Frequency_kHz=2,
        Data_Format_Enum=1,
        Chirps_per_Frame=1,
        Samples_per_Chirp=256,
        Pulse_Repetition_Time_sec=0,
        Frame_Period_sec=0.15,
    )
    lines = ["IFRT", *(f"# {key} = {value}" for key, value in said.items())]
    for frame in range(1, 13):
        lines += [f"# Frame_Number = {frame}", *map(str, RANDOM.random(512))]
    (folder / "ID_1").mkdir(parents=True)
    (folder / "ID_1/a.raw.txt").write_text("\n".join(lines))


def cubes(folder: Path) -> None:
    """A walker before a radar of two receivers: twelve frames of 64 chirps, a tenth of a second apart."""
    when = (0.1 * numpy.arange(12)[:, None] + numpy.arange(64) / 1000).ravel()
    samples = beat(Chirps(76.7e9), walking(1.5), when, receivers=2).reshape(12, 64, 2, 32)
    (folder / "ID_1").mkdir(parents=True)
    numpy.save(folder / "ID_1/a.npy", samples)


def grey(folder: Path) -> None:
    (folder / "ID_1").mkdir(parents=True)
    Image.fromarray(RANDOM.integers(0, 256, (64, 100), numpy.uint8)).save(folder / "ID_1/a.png")


INPUTS = {
    "raw": raw,
    "images": flat_with_table,
    "flat": flat,
    "figures": figures,
    "walks": walks,
    "dated": dated,
    "recordings": recordings,
    "named": named,
    "pairs": lambda folder: arrays(folder, 2, SECONDS * PRF),
    "bursts": bursts,
    "captures": captures,
    "cubes": cubes,
    "grey": grey,
    "matrices": lambda folder: arrays(folder, 64, 100),
}


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command[:3]) for command in COMMANDS])
def test_the_command_makes_images(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = command[2]
    INPUTS[source](Path(source))
    arguments = list(command)
    arguments[arguments.index("--output_dir") + 1] = "out"
    said = output_of(stage0_prepare.main, *arguments)
    assert len(names(tmp_path / "out", "*.png")) >= 1 and "read " in said and "left out " in said


def test_every_input_is_on_the_page():
    assert sorted(INPUTS) == sorted(command[2] for command in COMMANDS)
