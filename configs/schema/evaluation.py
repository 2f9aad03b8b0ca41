"""Keys of stage 4: real images beside generated ones."""

from dataclasses import dataclass
from typing import List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key
from configs.schema.sampling import SOLVERS, SampleConfig
from configs.schema.shared import (
    Command,
    axes_key,
    colour_map_key,
    leave_out_key,
    margins_key,
    real_key,
    weights_key,
)

STUDY_ARMS = tuple(
    "real classic physical generated physical_generated pretrained weighted hardest easiest only".split()
)  # evaluation.study_arms


@dataclass
class EvaluateConfig(Command):
    """stage4_evaluate.py."""

    real: str = real_key()
    generated: List[str] = key(
        REQUIRED,
        "Folders of images of stage 3 or any tool (samples.csv, metadata.csv, or a folder per person), one a "
        "generator; NAME=FOLDER names it, and one NAME for several says they are trainings of one recipe.",
        affects="run",
        content=True,
        named=True,
    )
    output_dir: str = key(
        "evaluation_report", "Folder for metrics.json, images and the judges' weights.", affects="nothing"
    )
    leave_out: List[str] = leave_out_key(affects="run")
    axes: List[float] = axes_key(affects="run")
    colour_map: str = colour_map_key(affects="run")
    margins: str = margins_key()
    vavae_path: Optional[str] = weights_key(
        None,
        "Tokenizer to check, whose latents are compared too; compact for the bundled one, none = without.",
        affects="run",
    )
    inception: Optional[str] = weights_key(
        None, "Inception's weights as torch-fidelity has them (docs/fid.md), for its features.", affects="run"
    )
    dinov2: Optional[str] = weights_key(
        None, "File of timm's vit_small_patch14_dinov2 for its features.", affects="run"
    )
    conditions: Optional[str] = key(
        None,
        "Regular expression of what in a folder's name is a condition, as of stage 2: whether velocities "
        "follow the speeds of conditions is measured.",
        affects="run",
    )
    truth: Optional[str] = key(
        None,
        "With --conditions, a table of user and speed_mps of each folder, as simulate's truth.csv; else "
        "speeds are those of training images.",
        affects="run",
        content=True,
    )
    planted: bool = key(
        False,
        "Plants near-copies of training images among the generated ones, and shows how many are found.",
        affects="run",
    )
    verdict: bool = key(
        False,
        "Augmentation study: whether generated images help; trains classifiers with and without them.",
        affects="run",
    )
    verdict_seeds: int = key(
        8,
        "Seeds of every classifier of the augmentation study; fewer than 6 show no help and no harm.",
        low=2,
        affects="run",
        acts_with=("verdict", ()),
    )
    sweep: Optional[str] = key(
        None, "sweep.json of stage4_evaluate.py sweep, to be in the report.", affects="run", content=True
    )
    judge: Optional[str] = key(
        None,
        "Network of the judges: timm's model of this name, as resnet18, on images of 256 pixels; none = a "
        "small convolutional one.",
        affects="output",
    )
    judge_seeds: int = key(
        3, "Judges trained; the first one names, all give the spread.", low=1, affects="run"
    )
    seed: int = key(
        0, "Seed of the first judge and of what is drawn from larger sets.", low=0, affects="output"
    )
    device: str = key(
        "auto",
        "Device of the tokenizer and of named networks and judges: auto, cpu, cuda, ...",
        affects="nothing",
    )


@dataclass
class SelectingJudgeConfig(Command):
    """stage4_evaluate.py judge."""

    real: str = key(
        REQUIRED,
        "Folder with train/ and val/ of real images, as stage 0 writes it.",
        affects="output",
        content=True,
    )
    output_dir: str = key("selector", "Folder for judge.safetensors.", affects="nothing")
    leave_out: List[str] = leave_out_key(affects="run")
    colour_map: str = colour_map_key(affects="output")
    margins: str = margins_key()
    seed: int = key(0, "Seed of the judge.", low=0, affects="output")


@dataclass
class SweepConfig(Command):
    """stage4_evaluate.py sweep."""

    real: str = real_key()
    dit_checkpoint: str = weights_key(REQUIRED, "Trained network, as of stage 3.", affects="output")
    checkpoints: List[str] = weights_key(
        [], "More networks of the same people, to choose one of all.", affects="run"
    )
    vavae_path: str = weights_key(REQUIRED, "Tokenizer, as of stage 3.", affects="output")
    output_dir: str = key(
        "guidance_sweep", "Folder for sweep.json, sweep.png and the images.", affects="nothing"
    )
    leave_out: List[str] = leave_out_key(affects="run")
    axes: List[float] = axes_key(affects="run")
    colour_map: str = colour_map_key(affects="run")
    margins: str = margins_key()
    guidance: List[float] = key(
        [1.0, 1.5, 2.0, 3.0, 4.0], "Guidance scales to try.", low=0, high=100, affects="run"
    )
    samplers: List[str] = key(
        [SampleConfig.sampler],
        "ODE solvers to try; unless given, stage 3's default.",
        choices=SOLVERS,
        affects="run",
    )
    restarts: List[int] = key([0], "Numbers of restarts to try.", low=0, high=100, affects="run")
    num_samples_per_user: int = key(8, "Images per person and setting.", low=1, affects="run")
    num_steps: int = key(
        SampleConfig.num_steps,
        "Intervals of the time grid; unless given, stage 3's default.",
        low=1,
        high=100000,
        affects="run",
    )
    seed: int = key(0, "Seed of the images and of the judge.", low=0, affects="output")


@dataclass
class StudyConfig(Command):
    """stage4_evaluate.py study."""

    design: str = key(
        REQUIRED,
        "Who is short of what: docs/studies.md.",
        choices=("same-budget", "new-person", "other-day", "unseen-condition"),
        affects="output",
    )
    real: str = real_key()
    vavae_path: str = weights_key(REQUIRED, "Tokenizer, as of stages 1 and 3.", affects="output")
    dit_checkpoint: Optional[str] = weights_key(
        None,
        "Draw by a model of references, which is shown each fold's images; none = train generators.",
        affects="output",
    )
    output_dir: str = key(
        "study", "Folder for study.json, the report, and a folder of each fold.", affects="nothing"
    )
    images_per_person: int = key(
        10,
        "Images of a person who is short of them (same-budget, new-person), and of everybody else that a "
        "model of references is shown.",
        low=1,
        affects="output",
    )
    new_people: int = key(
        1,
        "New people at a time (new-person).",
        low=1,
        affects="output",
        acts_with=("design", ("new-person",)),
    )
    folds: Optional[int] = key(
        None,
        "Folds of new people that are tried; none = until each person was new once.",
        low=1,
        affects="run",
        acts_with=("design", ("new-person",)),
    )
    day_images: int = key(
        0,
        "Images of each folder of the other day that are learnt from, too (other-day).",
        affects="output",
        low=0,
        acts_with=("design", ("other-day",)),
    )
    conditions: Optional[str] = key(
        None,
        "What in a folder's name is a condition, as of stage 2; people are then told apart without it.",
        affects="output",
    )
    num_generated: Optional[int] = key(
        None,
        "Images drawn of each; none = as many as real ones, of new people what they lack.",
        low=1,
        affects="output",
    )
    arms: List[str] = key(
        ["real", "classic", "physical", "generated", "only"],
        "What classifiers learn from; classic and generated always, and of new people all their images.",
        choices=STUDY_ARMS,
        affects="run",
    )
    seeds: int = key(
        8, "Seeds of every classifier; fewer than 6 show no help and no harm.", low=2, affects="run"
    )
    generator_seeds: int = key(1, "Generators trained for each fold.", low=1, affects="run")
    classifier_steps: int = key(1000, "Steps of every classifier, 32 images each.", low=5, affects="output")
    leave_out: List[str] = leave_out_key(affects="run")
    axes: List[float] = axes_key(affects="run")
    colour_map: str = colour_map_key(affects="run")
    margins: str = margins_key()
    seed: int = key(0, "First seed of generators and classifiers.", low=0, affects="output")


@dataclass
class FidConfig(Command):
    """stage4_evaluate.py fid."""

    generated: str = key(
        REQUIRED,
        "Folder of images, as stage 3 or any other program writes it, or an .npz of arr_0 (N, H, W, 3).",
        affects="output",
        content=True,
    )
    reference: str = key(
        REQUIRED,
        "Folder or .npz of real images; an .npz of mu and sigma, for FID alone, as ADM publishes them.",
        affects="output",
        content=True,
    )
    inception_path: Optional[str] = weights_key(
        None,
        "Inception's weights as torch-fidelity has them; docs/fid.md says where to get them.",
        affects="output",
    )
    output_dir: str = key("fid", "Folder for fid.json.", affects="nothing")
    batch_size: int = key(32, "Images of a size measured at once.", low=1, high=65536, affects="nothing")
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="nothing")
