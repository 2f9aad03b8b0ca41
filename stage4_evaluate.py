"""Stage 4: how good are the generated pictures? A judge of real people names them; copies are looked for.

    python stage4_evaluate.py --real data_split --generated generated_images \\
        --output_dir evaluation_report --axes -1.2 5.2 2.1
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from configs.command_line import parse, run_script, say
from configs.schema import EvaluateConfig
from data.atomic import write_text
from data.images import SPLIT_NAMES, ImageRecord, find_users, inputs_digest, list_images, open_rgb
from data.labels import LabelTable, listing
from data.progress import progress
from data.run_record import claim_folder
from evaluation.figures import figures, shown
from evaluation.judge import Judge, load_judge, reduced, train_judge
from evaluation.novelty import luma, memorised, nearest_two
from radar.kinematics import from_picture

UNKNOWN_AXES = (0.0, 128.0, 2.0)  # Doppler bins; cadence is then sought at 2 to 6 steps a picture
MEASURED_PER_PERSON = 40  # about as many pictures have their motion measured; a mean needs no more
KINDS = ("real", "generated")


class Pictures(NamedTuple):
    """What is kept of N pictures: as the judge sees them, whose (N,), torso velocity and cadence (N, 2)."""

    images: numpy.ndarray
    labels: numpy.ndarray
    motion: numpy.ndarray


def run(config: EvaluateConfig) -> None:
    """Judge, novelty and kinematics of `config.generated` beside `config.real`, into metrics.json.

    A folder keeps one judge; its metrics are measured again only where other inputs have changed. Raises
    ValueError or FileNotFoundError in one line for bad input.
    """
    if config.axes and not (len(config.axes) == 3 and config.axes[0] < config.axes[1] and config.axes[2] > 0):
        raise ValueError(
            f"--axes {' '.join(map(str, config.axes))}: expected the lowest and the highest velocity in m/s "
            "and a picture's length in s, like -1.2 5.2 2.1"
        )
    people, real = find_real(Path(config.real))
    generated = find_generated(Path(config.generated), people)
    folder, path = Path(config.output_dir), Path(config.output_dir) / "metrics.json"
    claimed = {"seed": config.seed, **{name: inputs_digest(part) for name, part in real.items()}}
    others = {"generated": inputs_digest(generated), "axes": config.axes, "colormap": config.colormap}
    _lock = claim_folder(folder, claimed, path.name)
    metrics = read_metrics(path)
    if metrics.get("inputs") == {**claimed, **others}:
        say(f"{path} was measured on the same pictures: skipped")
    else:
        sets = {name: read_pictures(part, people, config) for name, part in real.items()}
        sets["generated"] = read_pictures(generated, people, config)
        judge = obtain_judge(folder / "judge.safetensors", sets, people, config.seed)
        velocity, steps = ("m/s", "steps/s") if config.axes else ("bins", "steps/picture")
        units = {"judged_right": "", "torso_velocity": velocity, "cadence": steps, "memorised": ""}
        metrics = {"inputs": {**claimed, **others}, "units": units, **measure(judge, sets, people)}
        write_text(path, json.dumps(metrics, indent=1) + "\n")
    say("\n".join([*report(metrics), f"all figures are in {path}"]))


def read_metrics(path: Path) -> dict[str, Any]:
    """What was measured before; nothing where there is no such file, or a damaged one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return {}


def find_real(folder: Path) -> tuple[LabelTable, dict[str, list[ImageRecord]]]:
    """The people of train/, and the images of each part."""
    people = find_users(folder / "train")
    parts = [name for name in SPLIT_NAMES if (folder / name).is_dir()]
    if len(people) < 2 or len(parts) < 2:
        raise ValueError(
            f"--real {folder}: people: {listing(people.names)}, parts: {listing(parts)}; expected two people "
            "or more, and val or test to try the judge on; see python stage0_prepare.py split --help"
        )
    return people, {name: list_images(folder / name, people) for name in parts}


def find_generated(folder: Path, people: LabelTable) -> list[ImageRecord]:
    """What samples.csv lists: file and person of each generated image."""
    path = folder / "samples.csv"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected --generated to be a folder of stage 3")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [(row.get("file") or "", row.get("user")) for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not readable as a table ({error}); run stage 3 again") from error
    odd = [name for name, _ in rows
           if not (name and name.isprintable() and Path(name).name == name and len(name) < 256)]
    if odd:
        raise ValueError(f"{path}: {ascii(odd[0][:80])} is no name of an image there; run stage 3 again")
    strangers = {user: None for _, user in rows if user not in people.names}
    if strangers or not rows:
        raise ValueError(
            f"{path}: people: {listing(strangers) or 'none'}; expected some of {listing(people.names)}; give "
            "the data that the model was trained on as --real"
        )
    return [ImageRecord(folder / name, f"{user}/{name}", user) for name, user in rows]


def read_pictures(records: Sequence[ImageRecord], people: LabelTable, config: EvaluateConfig) -> Pictures:
    """Read every picture once; the motion is followed in about MEASURED_PER_PERSON of each person's."""
    low, high, duration = config.axes or UNKNOWN_AXES
    labels = numpy.array([people.index(record.user) for record in records])
    stride = max(1, len(records) // (MEASURED_PER_PERSON * len(people)))
    images, motion = [], numpy.full((len(records), 2), numpy.nan)
    for place, record in enumerate(progress(records, description="reading", unit="img")):
        picture = open_rgb(record.path)
        images.append(reduced(picture))
        if place % stride == 0:
            found = from_picture(
                numpy.asarray(picture),
                duration_s=duration,
                velocity_low=low,
                velocity_high=high,
                colormap=config.colormap,
            )
            cadence = found.cadence_hz * (1 if config.axes else duration)
            motion[place] = abs(found.torso_velocity_mps), cadence  # coming or going: how fast
    return Pictures(numpy.stack(images), labels, motion)


def obtain_judge(path: Path, sets: dict[str, Pictures], people: LabelTable, seed: int) -> Judge:
    """The judge that an earlier run left, else a new one."""
    if not path.is_file():
        val = sets["val"][:2] if "val" in sets else None
        train_judge(*sets["train"][:2], len(people), seed, val=val).save(path, people)
    return load_judge(path)[0]


def measure(judge: Judge, sets: dict[str, Pictures], people: LabelTable) -> dict[str, Any]:
    """All figures as JSON values: held-out real pictures (test, else val; motion: train) beside generated."""
    held_out, training = "test" if "test" in sets else "val", luma(sets["train"].images)
    metrics = {
        "people": people.names,
        "chance": 1 / len(people),
        "held_out": held_out,
        "temperature": judge.temperature.item(),
        "counts": {name: len(part.labels) for name, part in sets.items()},
    }
    for kind, shown_set, moving in zip(KINDS, (held_out, "generated"), ("train", "generated")):
        images, labels, _ = sets[shown_set]
        _, walkers, (velocity, cadence) = sets[moving]._replace(motion=sets[moving].motion.T)
        probabilities = judge.predict(images)
        named = probabilities.argmax(1)
        table = numpy.zeros((len(people), len(people)), dtype=int)
        numpy.add.at(table, (labels, named), 1)
        own = probabilities[numpy.arange(len(labels)), labels].clip(min=1e-12)
        metrics[kind] = {
            "judged_right": figures(named == labels, labels, people),
            "torso_velocity": figures(velocity, walkers, people),
            "cadence": figures(cadence, walkers, people),
            "memorised": figures(memorised(nearest_two(luma(images), training)[0]), labels, people),
            "negative_log_likelihood": float(-numpy.log(own).mean()),
            "confusion": table.tolist(),  # rows: who it is; columns: who the judge says it is
        }
    return metrics


def report(metrics: dict[str, Any]) -> list[str]:
    """A line per person, real beside generated, then the shares of all pictures with their 95 % intervals."""
    units = metrics["units"]
    rows = [["real / generated", *(f"{name.replace('_', ' ')} {unit}" for name, unit in units.items())]]
    for person in metrics["people"]:
        pairs = [[shown(metrics[kind][name]["per_person"].get(person)) for kind in KINDS] for name in units]
        rows.append([person, *map(" / ".join, pairs)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    for name in ("judged_right", "memorised"):
        said = ", ".join(f"{kind} {shown(metrics[kind][name], interval=True)}" for kind in KINDS)
        lines.append(f"{name.replace('_', ' ')}: {said}")
    return [*lines, f"real is {metrics['held_out']}; by chance {metrics['chance']:.1%} are judged right"]


def main(argv: list[str]) -> None:
    run(parse("evaluate", ("evaluate",), argv, prog="stage4_evaluate.py", description=__doc__)["evaluate"])


if __name__ == "__main__":
    run_script(main)
