"""Stage 4: how good are the generated images? Is it the person, is it new, is it physical, is it diverse?

    python stage4_evaluate.py --real data_split --generated generated_images \\
        --output_dir evaluation_report --axes -1.2 5.2 2.1 --vavae_path compact
    python stage4_evaluate.py judge --real data_split --output_dir selector    # for stage 3's --select
    python stage4_evaluate.py sweep --real data_split --dit_checkpoint best.safetensors --vavae_path W.pt \\
        --guidance 1 1.5 2 3 4 --output_dir guidance_sweep
"""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch

from configs.command_line import PROJECT, parse, run_script, say
from configs.dry_run import tell_plan
from configs.keys import identity, recorded
from configs.schema import EvaluateConfig
from configs.version import VERSION
from data.atomic import write_text
from data.axes import axes_of_images, given_axes
from data.images import ImageRecord, file_digest, inputs_digest, open_rgb
from data.labels import LabelTable
from data.run_record import claim_folder
from data.split_check import check_split
from data.split_files import SPLIT_TABLE, read_groups
from evaluation import fid, sweep
from evaluation.augmentation_study import Labelled, study, study_lines
from evaluation.data_copying import lean_line
from evaluation.estimates import shown
from evaluation.features import NETWORKS, ImageSet, describe, encoder, read, through
from evaluation.folders import find_real, places_of
from evaluation.generated import find_generated
from evaluation.groups import KINDS as GROUP_KINDS
from evaluation.groups import PARTS as GROUPED_PARTS
from evaluation.groups import Grouped, group_figures, group_images, pieces_of
from evaluation.judge import Judge
from evaluation.measure import SETS, Stopwatch, measure, obtain_judges, units_of
from evaluation.motion import QUANTITIES
from evaluation.physical_augmentation import Physical
from evaluation.planted import planted_lines, planted_table
from evaluation.reconstruction import reconstructions, tokenizer_check
from evaluation.report import sheets
from evaluation.report.page import write_report
from evaluation.report.summary import sentences
from evaluation.selection import scoring_parts, train_selecting_judge
from runtime.devices import resolve_device
from tokenizer.vavae import VAVAE
from tokenizer.weights import resolve_path
from weight_files.hub import with_local_files

PICTURES = ("real_beside_generated", "closest_pairs", "overlap")
KINDS, COLUMNS = ("real", "generated"), ("judged_right", "torso_velocity", "cadence", "memorised")


def run(config: EvaluateConfig) -> None:
    """Judge, distances, novelty and kinematics of `config.generated` beside `config.real`, into metrics.json.

    A folder keeps its judges; its metrics are measured again only where other inputs have changed. Raises
    UserError or FileNotFoundError in one line for bad input.
    """
    config = with_local_files(config)
    given_axes(config.axes)  # refused before images are read
    splits = find_real(Path(config.real), config.leave_out)
    people, real = splits.labels, dict(splits.records)
    seen = check_split(splits, config.real, config.margins)
    found = find_generated(Path(config.generated), people)
    generated, selected_by = found.records, found.selected_by
    axes = axes_of_images(config.real, splits.paths(), config.axes, (config.generated, found.axes))
    config = replace(config, axes=axes.scales() if axes else [])
    config = replace(config, colour_map=seen.known_map(config.colour_map))
    folder, path = Path(config.output_dir), Path(config.output_dir) / "metrics.json"
    judged, val = scoring_parts(real, selected_by, config.generated)
    contents = {"selector_training": selected_by, **{name: inputs_digest(real[name]) for name in real}}
    if selected_by:
        real["val"] = val
    groups = group_images(read_groups(config.real), real)
    claimed = identity(config, real=contents)
    others = {name: digest_of_file(config, name) for name in ("vavae_path", "sweep", *NETWORKS)}
    inputs = recorded(config, real=contents, generated=inputs_digest(generated), **others)
    inputs |= {"groups": file_digest(Path(config.real) / SPLIT_TABLE)} if groups else {}
    with claim_folder(folder, claimed, path.name, config.dry_run):
        metrics = read_metrics(path)
        if config.dry_run:
            load_networks(config)
            return tell(config, {**real, "generated": generated}, metrics.get("inputs") == inputs)
        if metrics.get("inputs") == inputs:
            say(f"{path} was measured on the same images: skipped")
        else:
            of_parts, range_db = {**real, "generated": generated}, axes.range_db if axes else None
            measured = evaluate(config, people, of_parts, judged, folder, groups, range_db)
            known = {"versions": versions(), "seed": config.seed, "axes": axes and axes.known()}
            metrics = {"inputs": inputs, **known, **measured}
            write_report(folder, metrics, {name: folder / f"{name}.png" for name in PICTURES})
            write_text(path, json.dumps(metrics, indent=1) + "\n")  # last: a run that finds it is done
    lines = study_lines(metrics) if "verdict" in metrics else []
    lines = [splits.account(), found.account(), *table(metrics), *lines]
    say("\n".join([*lines, *metrics["summary"], f"all figures are in {path}"]))
    say(f"look at {folder / 'report.html'} and {folder / 'real_beside_generated.png'}")


def tell(config: EvaluateConfig, records: dict[str, list[ImageRecord]], measured: bool) -> None:
    """What a dry run says; images that cannot be read are refused."""
    for record in [record for part in records.values() for record in part]:
        open_rgb(record)
    counts = ", ".join(f"{len(part)} {name}" for name, part in records.items())
    does = f"train {config.judge_seeds} judges and measure" + (", with the study" if config.verdict else "")
    tell_plan(
        {"evaluate": config},
        reads=[f"{config.real} and {config.generated}: images, {counts}"],
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


def evaluate(
    config: EvaluateConfig,
    people: LabelTable,
    records: dict[str, list[ImageRecord]],
    judged: list[ImageRecord],
    folder: Path,
    groups: dict[str, Grouped],
    range_db: float | None = None,
) -> dict[str, Any]:
    """All sections of metrics.json but the inputs; images and judges go into `folder`.

    The judges learn from `judged`, a part of train or all of it; the colours stand for `range_db`, if known.
    """
    # Networks and images
    held_out, seconds = "test" if "test" in records else "val", Stopwatch()
    of_set = {"train": records["train"], "held_out": records[held_out], "generated": records["generated"]}
    vae, named = load_networks(config)
    with seconds.part("reading"):
        look = partial(read, people=people, axes=config.axes, colour_map=config.colour_map)
        sets = {name: look(part) for name, part in of_set.items()}
        val = look(records["val"]) if "val" in records and held_out == "test" else None
        val = sets["held_out"] if held_out == "val" else val
        tell_unread(sets)

    # Judges, and features by the other networks
    with seconds.part("judges"):
        learnt_from = sets["train"].at(places_of(judged, records["train"]))
        judges = obtain_judges(folder, learnt_from, val, people, config.seed, config.judge_seeds)
    further = {}
    for name, (network, size) in named.items():
        with seconds.part(name):
            further[name] = {part: through(network, of_set[part], size, name) for part in SETS}
    latents = check = None
    if vae:
        with seconds.part("tokenizer"):
            latents, check = try_tokenizer(vae, of_set, sets, judges[0], config)

    # Figures
    metrics: dict[str, Any] = {
        "people": people.names,
        "chance": 1 / len(people),
        "held_out": held_out,
        "counts": {name: len(part) for name, part in records.items()},
        "units": units_of(bool(config.axes)),
        "selected": len(judged) < len(records["train"]),
    }
    more: dict[str, Any] = {"latents": latents, "further": further, "seed": config.seed, "seconds": seconds}
    metrics |= measure(sets, judges, people, metrics["units"], **more)
    if check:
        metrics["tokenizer"] = check | {"judged_right": metrics["reconstructed"]["judged_right"]}
    everything = val.beside(sets["held_out"]) if val and held_out == "test" else sets["held_out"]
    if groups:
        metrics["groups"] = group_figures(judges[0], everything, groups, people)
    if config.planted:
        with seconds.part("planted"):
            given = of_set["train"], sets, people, config.colour_map, range_db, config.seed
            metrics["planted"] = planted_table(*given)
    if config.verdict:
        with seconds.part("verdict"):
            metrics |= augmentation_study(config, sets, everything, people, groups, records)
    if config.sweep:
        metrics["sweep"] = json.loads(Path(config.sweep).read_text(encoding="utf-8"))
    with seconds.part("pictures"):
        draw_pictures(folder, metrics, of_set, sets, judges[0], people)
    return metrics | {"seconds": seconds, "summary": sentences(metrics)}


def augmentation_study(
    config: EvaluateConfig,
    sets: dict[str, ImageSet],
    everything: ImageSet,
    people: LabelTable,
    groups: dict[str, Grouped],
    records: dict[str, list[ImageRecord]],
) -> dict[str, Any]:
    """Whether generated images help a classifier, also by the groups of all held-out ones, `everything`."""
    table = read_groups(config.real)
    held = [(part, record) for part in GROUPED_PARTS for record in records.get(part, ())]
    tested = [one for one in held if one[0] == ("test" if "test" in records else "val")]
    real, held_out, generated = (Labelled(*sets[name][:2]) for name in SETS)
    held_out = held_out._replace(days=pieces_of(table, tested))
    both = {name: group.places for name, group in groups.items() if group.both}
    seeds = {"seeds": config.verdict_seeds, "seed": config.seed}
    grouped = Labelled(*everything[:2], pieces_of(table, held))
    physical = Physical(config.axes[:2], config.colour_map) if config.axes else None
    if not physical:
        say("the study has no arm with physical augmentation, which requires the images' --axes")
    return study(real, held_out, generated, people, **seeds, grouped=grouped, groups=both, physical=physical)


def tell_unread(sets: dict[str, ImageSet]) -> None:
    """Say how many real images show no motion that can be read."""
    motion = numpy.concatenate([sets["train"].motion, sets["held_out"].motion])
    unread = int(numpy.isnan(motion[:, QUANTITIES.index("torso_velocity")]).sum())
    if unread:
        say(
            f"warning: no motion could be read in {unread} of {len(motion)} real images: are they "
            "spectrograms of walks, in the colours of --colour_map?"
        )


def load_networks(config: EvaluateConfig) -> tuple[VAVAE | None, dict[str, tuple[Any, int]]]:
    """The tokenizer, and the other networks that the user named; their errors come before any work."""
    device = resolve_device(config.device)
    vae = VAVAE.from_file(config.vavae_path, device=device) if config.vavae_path else None
    given = {name: getattr(config, name) for name in NETWORKS if getattr(config, name)}
    return vae, {name: (NETWORKS[name][0](path, device), NETWORKS[name][1]) for name, path in given.items()}


def try_tokenizer(
    vae: VAVAE,
    of_set: dict[str, list[ImageRecord]],
    sets: dict[str, ImageSet],
    judge: Judge,
    config: EvaluateConfig,
) -> tuple[dict[str, numpy.ndarray], dict[str, Any]]:
    """Latents of every set, and the tokenizer's check, for which `sets` gains "reconstructed"."""
    fidelity: dict[str, list[float]] = {}
    latents = {name: through(encoder(vae), of_set[name], vae.image_size, "encoding") for name in SETS}
    rebuilt = reconstructions(vae, latents["held_out"], of_set["held_out"], fidelity)
    real = sets["held_out"]
    sets["reconstructed"] = describe(rebuilt, real.labels, config.axes, config.colour_map)
    unit = "mps" if config.axes else "bins"
    return latents, tokenizer_check(judge, real, sets["reconstructed"], fidelity, unit)


def draw_pictures(
    folder: Path,
    metrics: dict[str, Any],
    of_set: dict[str, list[ImageRecord]],
    sets: dict[str, ImageSet],
    judge: Judge,
    people: LabelTable,
) -> None:
    """The PNG files beside metrics.json; the closest pairs get their files' names."""
    generated, training = of_set["generated"], of_set["train"]
    sheets.real_beside_generated(folder / "real_beside_generated.png", of_set["held_out"], generated, people)
    sheets.closest_pairs(folder / "closest_pairs.png", metrics["closest_pairs"], generated, training)
    features = {name: judge.features(sets[name].images) for name in SETS}
    labels = {name: sets[name].labels for name in SETS}
    sheets.overlap(folder / "overlap.png", features, labels, people)
    for pair in metrics["closest_pairs"]:
        pair["generated"] = generated[pair["generated"]].path.name
        pair["train"] = training[pair["train"]].relative


def read_metrics(path: Path) -> dict[str, Any]:
    """What was measured before; nothing where there is no such file, or a damaged one."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return {}


def table(metrics: dict[str, Any]) -> list[str]:
    """A line per person, real beside generated, then the shares of all images with their 95 % intervals."""
    heads = [f"{name.replace('_', ' ')} {metrics['units'][name]}" for name in COLUMNS]
    rows = [["real / generated", *heads]]
    for person in metrics["people"]:
        pairs = [[shown(metrics[kind][name]["per_person"].get(person)) for kind in KINDS] for name in COLUMNS]
        rows.append([person, *map(" / ".join, pairs)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    for name in ("judged_right", "memorised"):
        said = ", ".join(f"{kind} {shown(metrics[kind][name], interval=True)}" for kind in KINDS)
        lines.append(f"{name.replace('_', ' ')}: {said}")
    lines.append(lean_line(metrics["data_copying"]))
    lines += planted_lines(metrics["planted"]) if "planted" in metrics else []
    for name, own in metrics.get("groups", {}).items():
        if "difference" in own:
            said = ", ".join(
                f"{kind} {name} {shown(own[kind]['judged_right'], True)}" for kind in GROUP_KINDS
            )
            lines.append(f"judged right of held-out real images: {said}")
    return [*lines, f"real is {metrics['held_out']}; by chance {metrics['chance']:.1%} are judged right"]


COMMANDS: dict[str, Callable[[Any], None]] = {
    "judge": train_selecting_judge,
    "sweep": sweep.run,
    "fid": fid.run,
}


def main(argv: list[str]) -> None:
    """The plain form, or a sub-command, whose keys are the section of its name."""
    if argv[:1] and argv[0] in COMMANDS:
        name, command = argv[0], COMMANDS[argv[0]]
        prog = f"stage4_evaluate.py {name}"
        return command(parse(name, (name,), argv[1:], prog=prog, description=command.__doc__ or "")[name])
    run(parse("evaluate", ("evaluate",), argv, prog="stage4_evaluate.py", description=__doc__)["evaluate"])


if __name__ == "__main__":
    run_script(main)
