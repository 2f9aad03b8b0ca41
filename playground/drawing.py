"""What the page shows of an image drawn: axes, torso line, figures, the judge, the nearest training image."""

from __future__ import annotations

import io
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
from matplotlib.ticker import MaxNLocator
from PIL import Image

from configs.command_line import say
from configs.errors import UserError
from configs.schema import PlaygroundConfig
from data.axes import Axes
from data.conditions import count_people
from data.folders import Rules
from data.images import ImageRecord, find_splits, open_rgb
from data.labels import LabelTable, listing
from data.progress import progress
from data.sheets import data_uri, image_uri
from evaluation.judge import reduced
from evaluation.memorisation import THRESHOLD, luma, nearness
from evaluation.selection import Selector
from playground.templates import render
from radar.kinematics import from_image
from sampling import load
from sampling.arrays import arrays_of, with_colour_map
from sampling.trained_model import TrainedModel

NAMED = 3  # people whose probabilities are shown
SIDE = 256  # of the plot in the template's drawing, its units
NO_MAP = "torso line, cadence and array require colours of a known map"
NO_CONDITION = "no condition"


@dataclass(frozen=True)
class Drawing:
    """A model, and beside it what judges its images: a selecting judge, and training images with their
    `luma`; None and nothing where they were not given.
    """

    config: PlaygroundConfig
    model: TrainedModel
    selector: Selector | None
    training: Sequence[ImageRecord]
    training_luma: numpy.ndarray

    @classmethod
    def load(cls, config: PlaygroundConfig) -> Drawing:
        """Errors of `sampling.load`, `Selector.load` and `find_splits`; UserError: the judge, or the real
        images, know nobody whom the model draws.
        """
        model = load(config.model, config.vavae_path, axes=config.axes, device=config.device)
        selector = Selector.load(config.judge) if config.judge else None
        if selector:
            _require_same_people(model, selector.people, f"--judge {config.judge}")
        if not config.real:
            return cls(config, model, selector, [], numpy.zeros(0))
        splits = find_splits(Path(config.real), Rules(leave_out=config.leave_out))
        say(splits.account())
        _require_same_people(model, splits.labels, f"--real {config.real}")
        training = splits.records["train"]
        if len(training) < 2:
            raise UserError(f"--real {config.real}: {len(training)} training image; expected two or more")
        shown = progress(training, description="reading", unit="img")
        return cls(
            config, model, selector, training, luma(numpy.stack([reduced(open_rgb(one)) for one in shown]))
        )

    def account(self) -> str:
        """What the page draws, and what it lacks."""
        conditions = self.model.conditions
        people = count_people(len(self.model.people), conditions.pairs if conditions else None)
        known = f"{people} of {self.config.model}"
        return "; ".join([known, *self.lacking])

    @property
    def lacking(self) -> list[str]:
        """What is not shown, and what would show it."""
        axes = self.model.axes
        no_range = axes is not None and axes.range_db is None
        reasons = {
            "axes, torso line and cadence require --axes: the model's file tells none": axes is None,
            "arrays require the range in dB, a fourth number of --axes": no_range,
            "a judge's probabilities require --judge": self.selector is None,
            "the nearest training image requires --real": not self.config.real,
        }
        return [reason for reason, holds in reasons.items() if holds]

    @cached_property
    def named(self) -> dict[tuple[str, str], str]:
        """What the model calls a person in a condition; NO_CONDITION of models without any."""
        conditions = self.model.conditions
        if conditions is None:
            return {(name, NO_CONDITION): name for name in self.model.people}
        alone = [self.model.people[label] for label in conditions.person_alone()]
        return {
            (person, condition.strip("_") or NO_CONDITION): name
            for person, condition, name in zip(alone, conditions.names(), self.model.people)
        }

    @property
    def people(self) -> list[str]:
        return list(dict.fromkeys(person for person, _ in self.named))

    @property
    def conditions(self) -> list[str]:
        return sorted({condition for _, condition in self.named}, key=lambda one: (one != NO_CONDITION, one))

    # Drawing

    def draw(
        self,
        people: Sequence[str],
        condition: str,
        guidance: float,
        steps: int,
        seed: int,
        torso: bool = True,
    ) -> str:
        """Image 1 of each of `people` as HTML, drawn together as stage 3 draws it. Errors of
        `TrainedModel.draw`.
        """
        names = [self.named[person, condition] for person in people]
        start = time.monotonic()
        images = self.model.draw(names, n=1, guidance=guidance, steps=steps, seed=seed)
        seconds = time.monotonic() - start
        axes = self.axes_of(images)
        cards = [
            card(name, pixels, axes, torso) | self.compared(name, reduced(Image.fromarray(pixels)))
            for name, pixels in zip(names, images)
        ]
        settings = {"guidance_scale": f"{guidance:g}", "num_steps": steps, "seed": seed}
        networks = {"dit_checkpoint": self.config.model, "vavae_path": self.config.vavae_path}
        flags = {**networks, **settings, "num_samples_per_user": 1, "precision": self.model.precision}
        given = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        command = ["python", "stage3_inference.py", *given, "--user_ids", *names]
        return render(
            "cards.html",
            cards=cards,
            side=SIDE,
            copy_below=THRESHOLD,
            seconds=seconds,
            command=[shlex.quote(word) for word in command],
            lacking="; ".join([*self.lacking, *([NO_MAP] if self.model.axes and not axes else [])]),
        )

    def axes_of(self, images: numpy.ndarray) -> Axes | None:
        """The axes with the colour map of `images`; None where one of them is not known."""
        try:
            return self.model.axes and with_colour_map(self.model.axes, images, "an image drawn")
        except UserError:
            return None

    def compared(self, name: str, small: numpy.ndarray) -> dict[str, Any]:
        """What judge and training images say of an image (128, 64, 3) drawn as `name`."""
        said: dict[str, Any] = {}
        if self.selector:
            shares = self.selector.judge.predict(small[None].copy())[0]
            said["shares"] = ranked(dict(zip(self.selector.people.names, shares.tolist())), name)
        if len(self.training):
            neighbours = nearness(luma(small[None]), self.training_luma, quiet=True)
            nearest = self.training[neighbours.places[0, 0]]
            said |= {
                "nearest": nearest.relative,
                "thumbnail": image_uri(open_rgb(nearest).resize((128, 128))),
            }
            said["ratio"] = float(neighbours.ratios[0])
        return said


def _require_same_people(model: TrainedModel, people: LabelTable, where: str) -> None:
    if not set(people.names) & set(model.people):
        raise UserError(
            f"{where}: people: {listing(people.names, 8)}; expected some of {listing(model.people, 8)}, whom "
            "the model draws"
        )


def ranked(shares: dict[str, float], name: str) -> list[tuple[str, float]]:
    """The NAMED likeliest people, and `name` where it is another one that the judge knows."""
    likeliest = sorted(shares.items(), key=lambda one: -one[1])
    rest = [one for one in likeliest[NAMED:] if one[0] == name]
    return likeliest[:NAMED] + rest


# One image


def card(name: str, pixels: numpy.ndarray, axes: Axes | None, torso: bool) -> dict[str, Any]:
    """What the template shows of an image (H, W, 3) uint8."""
    shown: dict[str, Any] = {"name": name, "png": image_uri(Image.fromarray(pixels))}
    if axes is None:
        return shown
    motion, (low, high, duration) = from_image(pixels, axes.scales(), axes.colour_map or "jet"), axes.edges()
    shown |= {"motion": motion, "times": ticks(0, duration), "velocities": ticks(low, high)}
    known = numpy.isfinite(motion.torso_mps)
    if torso and known.any():
        across = (numpy.flatnonzero(known) + 0.5) * SIDE / len(known)
        down = SIDE * (high - motion.torso_mps[known]) / (high - low)
        shown["torso"] = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down))
    if axes.range_db:
        stream = io.BytesIO()
        numpy.savez_compressed(stream, **arrays_of(pixels, axes))
        shown["npz"] = data_uri(stream.getvalue(), "application/octet-stream")
    return shown


def ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Places in the plot, 0 to SIDE, and texts of round numbers between `low` and `high`."""
    numbers = [
        one for one in MaxNLocator(8, steps=(1, 2, 5, 10)).tick_values(low, high) if low <= one <= high
    ]
    return [(SIDE * (one - low) / (high - low), f"{one:g}") for one in numbers]
