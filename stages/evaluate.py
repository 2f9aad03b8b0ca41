"""What stage 4 does: judge, distances, novelty and kinematics of generated images beside real ones."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from configs.command_line import PROJECT, say
from configs.dry_run import tell_plan
from configs.errors import UserError, first_line
from configs.json_text import parse_json
from configs.keys import identity, recorded
from configs.schema import EvaluateConfig
from configs.version import VERSION
from data.atomic import write_text
from data.axes import axes_of_images, given_axes
from data.conditions import Conditions
from data.images import ImageRecord, file_digest, inputs_digest, open_rgb
from data.labels import LabelTable, natural_key
from data.run_record import claim_folder
from data.split_check import check_split
from data.split_files import SPLIT_TABLE, read_groups
from data.tables import aligned
from data.tree import TOLD, folders_in, split_folders, unwanted
from evaluation.agreement import agreement_lines
from evaluation.augmentation_study import study_lines
from evaluation.data_copying import lean_line
from evaluation.estimates import shown
from evaluation.evaluate import Inputs, evaluate, load_networks, sections_of
from evaluation.features import NETWORKS
from evaluation.folders import ALONE, find_real, named_folders
from evaluation.generated import Generated, find_generated, together
from evaluation.groups import KINDS as GROUP_KINDS
from evaluation.groups import group_images
from evaluation.named_judge import network_named
from evaluation.planted import planted_lines
from evaluation.report.page import write_report
from evaluation.report.tables import kinds_of
from evaluation.selection import scoring_parts
from evaluation.velocity_intervention import read_truth, slope_line
from runtime.devices import resolve_device
from tokenizer.weights import resolve_path
from weight_files.hub import with_local_files

PICTURES = ("real_beside_generated", "first_look", "examples", "closest_pairs", "overlap")
TOGETHER = "generators_beside_real"  # of several
COLUMNS = ("judged_right", "torso_velocity", "cadence", "memorised")


def run(config: EvaluateConfig) -> None:
    """Judge, distances, novelty and kinematics of `config.generated` beside `config.real`, into metrics.json.

    A folder keeps its judges; its metrics are measured again only where other inputs or the version have
    changed. Raises UserError or FileNotFoundError in one line for bad input.
    """
    # Real images, and those of every generator
    config = with_local_files(config)
    given_axes(config.axes)  # refused before images are read
    network_named(config.judge, resolve_device(config.device))  # and before the folder is known by it
    splits = find_real(Path(config.real), config.leave_out)
    people, real = splits.labels, dict(splits.records)
    conditions = conditions_of(config, people)
    unrecorded = [name for name in conditions.labels.names if name not in people.names] if conditions else []
    seen = check_split(splits, config.real, config.margins)
    generators = generators_of(config, people, unrecorded)
    several = len(generators) > 1
    axes_of_each = [(str(one.folder), one.axes) for one in generators.values()]
    axes = axes_of_images(config.real, splits.paths(), config.axes, *axes_of_each)
    if conditions and not axes:
        raise UserError("--conditions: requires velocities in m/s; tell the edges of the images by --axes")
    config = replace(config, axes=axes.scales() if axes else [])
    config = replace(config, colour_map=seen.known_map(config.colour_map))

    # What the folder is known by
    folder, path = Path(config.output_dir), Path(config.output_dir) / "metrics.json"
    selected_by, judged, val = unseen_by_selectors(real, generators)
    contents = {"selector_training": selected_by, **{name: inputs_digest(real[name]) for name in real}}
    if selected_by:
        real["val"] = val
    groups = group_images(read_groups(config.real), real)
    sweep = read_sweep(Path(config.sweep)) if config.sweep else None
    claimed = identity(config, real=contents)
    others = {name: digest_of_file(config, name) for name in ("vavae_path", "sweep", "truth", *NETWORKS)}
    digests = {name: inputs_digest([*one.records, *one.unrecorded]) for name, one in generators.items()}
    inputs = recorded(config, real=contents, generated=digests if several else digests[ALONE], **others)
    inputs |= {"version": VERSION}
    inputs |= {"groups": file_digest(Path(config.real) / SPLIT_TABLE)} if groups else {}

    # Work
    with claim_folder(folder, claimed, path.name, config.dry_run):
        metrics = read_metrics(path)
        if config.dry_run:
            load_networks(config)
            drawn = {name: one.records for name, one in generators.items()}
            return tell(config, {**real, **drawn}, metrics.get("inputs") == inputs)
        if metrics.get("inputs") == inputs:
            say(f"{path} was measured on the same images: skipped")
        else:
            range_db = axes.range_db if axes else None
            images = Inputs(people, real, generators, judged, groups, range_db, conditions, sweep)
            measured = evaluate(config, images, folder)
            known = {"versions": versions(), "seed": config.seed, "axes": axes and axes.known()}
            metrics = {"inputs": inputs, **known, **measured}
            write_files(folder, metrics)
    accounts = [splits.account(), *(one.account() for one in generators.values())]
    say("\n".join([*accounts, *table(metrics), *study_of(metrics), *metrics["summary"]]))
    picture = folder / f"{TOGETHER if several else PICTURES[0]}.png"
    say(f"all figures are in {path}\nlook at {folder / 'report.html'} and {picture}")


def people_left_out(config: EvaluateConfig) -> set[str]:
    """Folders of --real that --leave_out names whole."""
    names = {name for part in split_folders(Path(config.real))[0].values() for name in folders_in(part)}
    return {name for name in names if unwanted(f"{name}/", config.leave_out)}


def without(images: Generated, people: set[str]) -> Generated:
    """The images without those of `people` whom no judge knows, which are told as left out."""
    kept = [record for record in images.unrecorded if record.user not in people]
    gone = [record.relative for record in images.unrecorded if record.user in people]
    further = {TOLD: gone} if gone else {}
    return images._replace(unrecorded=kept, left_out={**images.left_out, **further})


def generators_of(
    config: EvaluateConfig, people: LabelTable, unrecorded: Sequence[str]
) -> dict[str, Generated]:
    """The images of each generator, by its name, without those of people left out; UserError as of
    `find_generated`, and for a sweep of several.
    """
    away = people_left_out(config) - set(unrecorded)
    known = sorted({*unrecorded, *away}, key=natural_key)
    generators = {
        name: together([without(find_generated(path, people, known), away) for path in paths], people)
        for name, paths in named_folders(config.generated).items()
    }
    if len(generators) > 1 and config.sweep:
        raise UserError("--sweep: belongs to one generator; leave it out, or give one folder as --generated")
    return generators


def read_sweep(path: Path) -> dict[str, Any]:
    """What `sweep` found; UserError where the file is another one."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
        settings, _ = content["settings"], content["rule"]
        if not all(isinstance(one["guidance"], (int, float)) for one in settings):
            raise UserError("guidance is no number")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"--sweep {path}: expected sweep.json of stage4_evaluate.py sweep, found {first_line(error)}; "
            "run the sweep again, or leave it out"
        ) from error
    return content


def conditions_of(config: EvaluateConfig, people: LabelTable) -> Conditions | None:
    """What the folders mean, if --conditions tells; UserError: it finds none, or --truth stands alone."""
    if config.truth and not config.conditions:
        raise UserError(f"--truth {config.truth}: requires --conditions, which says what in names is one")
    if config.truth and digest_of_file(config, "truth"):
        read_truth(Path(config.truth))  # refused before any work
    return Conditions.from_folders(people, config.conditions) if config.conditions else None


def write_files(folder: Path, metrics: dict[str, Any]) -> None:
    """Report and metrics.json, which comes last: a run that finds it is done. Each of several generators has
    its own in a folder, too.
    """
    several = metrics.get("generators", {})
    for name in several:
        write_files(folder / name, sections_of(metrics, name))
    pictures = (TOGETHER,) if several else PICTURES
    write_report(folder, metrics, {name: folder / f"{name}.png" for name in pictures})
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")


def unseen_by_selectors(
    real: dict[str, list[ImageRecord]], generators: dict[str, Generated]
) -> tuple[str | None, list[ImageRecord], list[ImageRecord]]:
    """Digest of what the judge learnt from that selected some of the images, None without such ones; and the
    images of train and of val that the scoring judges may learn from. Errors of `scoring_parts`.
    """
    parts = {
        one.selected_by: scoring_parts(real, one.selected_by, str(one.folder)) for one in generators.values()
    }
    selected_by = next((digest for digest in parts if digest), None)
    return selected_by, *parts[selected_by]


def tell(config: EvaluateConfig, records: dict[str, list[ImageRecord]], measured: bool) -> None:
    """What a dry run says; images that cannot be read are refused."""
    for record in [record for part in records.values() for record in part]:
        open_rgb(record)
    counts = ", ".join(f"{len(part)} {name}" for name, part in records.items())
    does = f"train {config.judge_seeds} judges and measure" + (", with the study" if config.verdict else "")
    tell_plan(
        {"evaluate": config},
        reads=[f"{config.real} and {', '.join(config.generated)}: images, {counts}"],
        writes=[] if measured else [config.output_dir],
        does="show what was measured on the same images" if measured else does,
    )


def digest_of_file(config: EvaluateConfig, name: str) -> str | None:
    """Digest of the file that the key `name` gives, if it gives one."""
    given = getattr(config, name)
    file = resolve_path(given) if given else None
    if file and not file.is_file():
        raise FileNotFoundError(f"--{name} {given}: no such file")
    return file_digest(file) if file else None


def versions() -> dict[str, str | None]:
    """Python, torch, this project, and its commit where git knows it."""
    try:
        git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True)
        commit = git.stdout.strip() or None
    except OSError:
        commit = None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "project": commit,
        "version": VERSION,
    }


def read_metrics(path: Path) -> dict[str, Any]:
    """What was measured before; nothing where there is no such file, or a damaged one."""
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return {}


def table(metrics: dict[str, Any]) -> list[str]:
    """A line per person, real beside generated, then the shares of all images with their 95 % intervals."""
    kinds = {name: one for name, one in kinds_of(metrics).items() if name != "reconstructed"}
    heads = [f"{name.replace('_', ' ')} {metrics['units'][name]}" for name in COLUMNS]
    rows = [[" / ".join(kinds), *heads]]
    for person in metrics["people"]:
        pairs = [[shown(one[name]["per_person"].get(person)) for one in kinds.values()] for name in COLUMNS]
        rows.append([person, *map(" / ".join, pairs)])
    lines = aligned(rows)
    for name in ("judged_right", "memorised"):
        said = ", ".join(f"{kind} {shown(one[name], interval=True)}" for kind, one in kinds.items())
        lines.append(f"{name.replace('_', ' ')}: {said}")
    lines += agreement_lines(metrics)
    for name, one in metrics.get("generators", {"": metrics}).items():
        of_one = [lean_line(one["data_copying"])]
        of_one += planted_lines(one["planted"]) if "planted" in one else []
        of_one += [slope_line(one["velocity_intervention"])] if "velocity_intervention" in one else []
        of_one.append(", ".join(f"{key}: {answer['word']}" for key, answer in one["answers"].items()))
        lines += [": ".join(filter(None, (name, line))) for line in of_one]
    for name, group in metrics.get("groups", {}).items():
        if "difference" in group:
            said = ", ".join(
                f"{kind} {name} {shown(group[kind]['judged_right'], True)}" for kind in GROUP_KINDS
            )
            lines.append(f"judged right of held-out real images: {said}")
    return [*lines, f"real is {metrics['held_out']}; by chance {metrics['chance']:.1%} are judged right"]


def study_of(metrics: dict[str, Any]) -> list[str]:
    """What the augmentation study found of each generator."""
    lines = []
    for name, one in metrics.get("generators", {"": metrics}).items():
        if "verdict" in one:
            lines += [f"augmentation study of {name}:"] * bool(name) + [*study_lines(one)]
    return lines
