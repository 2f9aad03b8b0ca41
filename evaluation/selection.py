"""Which of the drawn images to keep: the person, possible motion, no copy, and no two alike.

A selecting judge learns from the first half of each person's training images; what passes is measured on
the first half of the validation images, so that the other halves can train a judge that scores the chosen
images without having chosen them. Bounds are quantiles of those held-out real images:

confidence  calibrated, in the person asked for: at least the 10 % quantile
motion      not `outside_real_range` (evaluation.motion) beside them and the judge's training images: nothing
            was learnt of motion, so both are held out, and rare values need many images
novelty     distance to the nearest training image over that to the second: at least the 1 % quantile;
            all of train counts, since the generator has seen all of it
near        images of one person at unit norm are near duplicates below the 1 % quantile of their distances;
            an image may be one of that share of those kept before it, 1 %
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image

from configs.command_line import say
from configs.dry_run import tell_plan
from configs.errors import UserError
from configs.json_text import parse_json
from configs.keys import identity
from configs.schema import SelectingJudgeConfig
from configs.version import VERSION
from data.atomic import replacing
from data.images import ImageRecord, by_user, file_digest, inputs_digest
from data.labels import LabelTable
from data.run_record import claim_folder
from data.split_check import check_split
from data.tensor_files import save_tensors
from evaluation.features import ImageSet, describe, read
from evaluation.folders import find_real, places_of
from evaluation.judge import Judge, SmallJudge, train_judge
from evaluation.memorisation import luma, shift_distances
from evaluation.motion import QUANTITIES, outside_real_range
from weight_files.reading import WeightFile, load_strict

QUANTILES = {"confidence": 0.1, "novelty": 0.01, "near": 0.01}
GUARD = 3  # images left out between the halves: windows of a walk that overlap by 75 % reach so far
KEPT, NOT_SURE, ODD_MOTION, COPY, ALIKE = "kept", "not the person", "odd motion", "copy", "near duplicate"


def halves(records: Sequence[ImageRecord]) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Two contiguous blocks of each person's images in listed order, GUARD apart where there are enough."""
    first, second = [], []
    for images in by_user(records).values():
        gap = min(GUARD, len(images) // 4)
        first += images[: (len(images) - gap + 1) // 2]
        second += images[(len(images) + gap + 1) // 2 :]
    return first, second


def digest_of(digests: Sequence[str]) -> str:
    """One digest of files' digests, whatever their order."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def scoring_parts(
    real: dict[str, list[ImageRecord]], selected_by: str | None, where: str
) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """The images of train, and of val, that the scoring judge may learn from: all of them, or where a judge
    whose training files have the digest `selected_by` chose the generated ones, the halves it has not seen.

    UserError: it was trained on something else than the first halves, so the rest is not known to be unseen.
    """
    (train, rest), (val, other_val) = (halves(real.get(part, [])) for part in ("train", "val"))
    if selected_by is None:
        return real["train"], real.get("val", [])
    if selected_by != digest_of([file_digest(record.path) for record in train + val]):
        raise UserError(
            f"{where}: these images were selected by a judge that was not trained on the first half of "
            "--real, so a judge trained on --real may share images with it and cannot score them; give the "
            "data from which stage4_evaluate.py judge made it"
        )
    return rest, other_val


@dataclass(frozen=True)
class Selector:
    """A selecting judge with all that choosing needs, in one file; it holds luma of the training images."""

    judge: Judge
    people: LabelTable
    bounds: dict[str, float]  # of the keys of QUANTILES
    training: numpy.ndarray  # `luma` of all of train, (M, 64, 64)
    motion: numpy.ndarray  # of the judge's training images and the held-out ones, (N, Q)
    colour_map: str
    training_files: list[str]  # digests of the files that the judge and the bounds come from

    def save(self, path: Path) -> None:
        weights = {f"judge.{name}": value.contiguous() for name, value in self.judge.state_dict().items()}
        pixels = torch.from_numpy(numpy.rint(255 * self.training).astype(numpy.uint8))
        metadata = {
            "people": self.people.to_json(),
            "bounds": json.dumps(self.bounds),
            "quantiles": json.dumps(QUANTILES),
            "colour_map": self.colour_map,
            "training_files": json.dumps(self.training_files),
            "version": VERSION,
        }
        with replacing(path) as temporary:
            tensors = {**weights, "training": pixels, "motion": torch.from_numpy(self.motion)}
            save_tensors(tensors, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> Selector:
        """Inverse of `save`. FileNotFoundError; UserError: not such a file."""
        file = WeightFile(Path(path), "file", "stage4_evaluate.py judge makes one", "--select")
        tensors, metadata = file.safetensors()
        try:
            people = LabelTable.from_json(metadata["people"])
            judge, training = SmallJudge(len(people)), tensors.pop("training").numpy()
            motion = tensors.pop("motion").numpy()
            bounds, files = parse_json(metadata["bounds"]), parse_json(metadata["training_files"])
        except (KeyError, TypeError, ValueError) as error:
            raise file.refusal("not a selecting judge") from error
        if motion.shape[1:] != (len(QUANTITIES),):
            raise file.refusal(f"quantities of another version, {motion.shape}; expected {len(QUANTITIES)}")
        state = {name.removeprefix("judge."): value for name, value in tensors.items()}
        load_strict(judge, state, file, "selecting judge", file.way_out)
        pixels = training.astype(numpy.float32) / 255
        return cls(judge.eval(), people, bounds, pixels, motion, metadata["colour_map"], files)

    def examine(self, pictures: numpy.ndarray, person: str) -> tuple[list[dict[str, Any]], numpy.ndarray]:
        """Confidence, novelty and motion_odd of each of (N, H, W, 3) uint8 images drawn as `person`, and
        these at unit norm (N, 64, 64).
        """
        labels = numpy.full(len(pictures), self.people.index(person))
        seen = describe([Image.fromarray(one) for one in pictures], labels, (), self.colour_map)
        unusual = outside_real_range(seen.motion, self.motion)
        confidence, novelty, unit = measures(self.judge, seen, self.training)
        rows = zip(confidence.tolist(), novelty.tolist(), unusual.tolist())
        return [dict(zip(("confidence", "novelty", "motion_odd"), row)) for row in rows], unit

    def decide(self, row: dict[str, Any], unit: numpy.ndarray, kept: Sequence[numpy.ndarray]) -> str:
        """KEPT, or why an image examined as `row` is refused beside those `kept` of its person."""
        if row["confidence"] < self.bounds["confidence"]:
            return NOT_SURE
        if row["motion_odd"]:
            return ODD_MOTION
        if row["novelty"] < self.bounds["novelty"]:
            return COPY
        near = (nearness(unit[None], numpy.stack(kept)) < self.bounds["near"]).sum() if kept else 0
        return ALIKE if near > int(QUANTILES["near"] * len(kept)) else KEPT


def measures(
    judge: Judge, seen: ImageSet, training: numpy.ndarray
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Confidence in the person each is labelled as (N,), novelty (N,), and unit images (N, 64, 64)."""
    confidence = judge.predict(seen.images)[numpy.arange(len(seen.labels)), seen.labels]
    grey = luma(seen.images)
    nearest = torch.cat(list(shift_distances(grey, training))).topk(2, largest=False)[0].numpy()
    # two equal originals are at distance 0 both: the image is a copy of them
    novelty = nearest[:, 0] / nearest[:, 1].clip(1e-12)
    centred = grey - grey.mean((1, 2), keepdims=True)
    return confidence, novelty, centred / numpy.linalg.norm(centred, axis=(1, 2), keepdims=True).clip(1e-6)


def nearness(unit: numpy.ndarray, others: numpy.ndarray) -> numpy.ndarray:
    """Distances (N, M) over time shifts of unit images, blind to how bright and how contrasty they are."""
    return torch.cat(list(shift_distances(unit, others))).numpy()


def train_selector(
    train: ImageSet, held_out: ImageSet, everything: ImageSet, people: LabelTable, seed: int
) -> tuple[Judge, dict[str, float]]:
    """Judge and bounds from half of train and half of val; `everything` is all of train, for novelty.

    UserError: too few held-out images for a distance between two of one person.
    """
    tried = held_out.images, held_out.labels
    judge = train_judge(train.images, train.labels, len(people), seed, val=tried)
    confidence, novelty, unit = measures(judge, held_out, luma(everything.images))
    pairs = []
    for label in numpy.unique(held_out.labels):
        features = unit[held_out.labels == label]
        pairs.append(nearness(features, features)[numpy.triu_indices(len(features), 1)])
    if not any(map(len, pairs)):
        raise UserError("--real: nobody has two images in the first half of val/; split with a larger one")
    values = {"confidence": confidence, "novelty": novelty, "near": numpy.concatenate(pairs)}
    return judge, {name: float(numpy.quantile(numbers, QUANTILES[name])) for name, numbers in values.items()}


def select(
    draw: Callable[[range], numpy.ndarray],
    selector: Selector,
    person: str,
    *,
    keep: int,
    most: int,
    batch_size: int,
    earlier: Sequence[dict[str, Any]] = (),
    kept: Sequence[numpy.ndarray] = (),
) -> Iterator[list[tuple[dict[str, Any], numpy.ndarray]]]:
    """Draw images 1 to `most` of a person until `keep` are kept; yields rows and images batch by batch.

    `draw` gives images (N, H, W, 3) uint8 of consecutive numbers; batches start at the same ones in every
    run. `earlier` are the rows of an earlier run, `kept` the images it kept: nothing is decided twice.
    """
    known = {int(row["sample"]) for row in earlier}
    units = list(selector.examine(numpy.stack(kept), person)[1]) if len(kept) else []
    for first in range(1, most + 1, batch_size):
        numbers = range(first, min(first + batch_size, most + 1))
        if len(units) >= keep:
            return
        if known.issuperset(numbers):
            continue
        pictures, batch = draw(numbers), []
        for number, picture, row, unit in zip(numbers, pictures, *selector.examine(pictures, person)):
            if number in known or len(units) >= keep:
                continue
            decision = selector.decide(row, unit, units)
            units += [unit] * (decision == KEPT)
            batch.append(({"user": person, "sample": number, "decision": decision, **row}, picture))
        yield batch


def acceptance(rows: Sequence[dict[str, Any]], person: str, keep: int) -> str:
    """One line: how many of a person's images were kept, and why the others were not."""
    counts = Counter(row["decision"] for row in rows if row["user"] == person)
    refused = ", ".join(f"{reason} {counts[reason]}" for reason in (NOT_SURE, ODD_MOTION, COPY, ALIKE))
    line = f"{person}: kept {counts[KEPT]} of {counts.total()} drawn ({refused})"
    short = f"; {keep} were asked for: raise --attempts, or train the model further"
    return line + short * (counts[KEPT] < keep)


def train_selecting_judge(config: SelectingJudgeConfig) -> None:
    """Train a judge for stage 3's --select on half of the real images; stage 4 scores by the other half."""
    splits = find_real(Path(config.real), config.leave_out)
    people, real = splits.labels, splits.records
    say(splits.account())
    if "val" not in real:
        raise UserError(f"--real {config.real}: no val/; half of it is needed to set the bounds")
    seen = check_split(splits, config.real, config.margins)
    config = replace(config, colour_map=seen.known_map(config.colour_map))
    (train, _), (val, _) = halves(real["train"]), halves(real["val"])
    folder = Path(config.output_dir)
    path = folder / "judge.safetensors"
    contents = {name: inputs_digest(real[name]) for name in ("train", "val")}
    with claim_folder(folder, identity(config, real=contents), path.name, config.dry_run):
        if config.dry_run:
            return tell_plan(
                {"judge": config},
                reads=[f"{config.real}: images"],
                writes=[path],
                does=f"train a judge on {len(train)} images, {len(val)} held out",
            )
        if path.is_file():
            return say(f"{path} is there: skipped")
        everything = read(real["train"], people, (), config.colour_map)
        learnt = everything.at(places_of(train, real["train"]))
        held_out = read(val, people, (), config.colour_map)
        judge, bounds = train_selector(learnt, held_out, everything, people, config.seed)
        files = [file_digest(record.path) for record in train + val]
        motion = numpy.concatenate([learnt.motion, held_out.motion])
        Selector(judge, people, bounds, luma(everything.images), motion, config.colour_map, files).save(path)
        right = (judge.predict(held_out.images).argmax(1) == held_out.labels).mean()
        say(f"learnt from {len(train)} images, {right:.0%} of {len(val)} held-out ones judged right")
        say("bounds: " + ", ".join(f"{name} {value:.3g}" for name, value in bounds.items()))
        say(f"wrote {path}; next: python stage3_inference.py --select {path} --keep 200 ...")
