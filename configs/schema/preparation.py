"""Keys of stage 0: images, the machine, walkers, recordings."""

from dataclasses import dataclass
from typing import List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key
from configs.schema.shared import Command, labels_key, leave_out_key, name_key

GAITS = ("normal", "hurried", "backpack", "pockets")
PUBLIC_SETS = ("glasgow", "idrad", "mmrgait", "mvdoppler", "sense2gol")


@dataclass
class SplitConfig(Command):
    """stage0_prepare.py split."""

    input_dir: str = key(
        REQUIRED,
        "Folder with one sub-folder of images per person, e.g. ID_1 ... ID_31.",
        affects="output",
        content=True,
    )
    output_dir: str = key(
        REQUIRED, "Folder that will hold train/, val/ and, when asked for, test/.", affects="nothing"
    )
    name: Optional[str] = name_key()
    labels: Optional[str] = labels_key()
    leave_out: List[str] = leave_out_key(affects="output")
    method: str = key(
        "blocks",
        "blocks: contiguous blocks in time with a guard gap; random: leaks, for comparisons only.",
        choices=("blocks", "random"),
        affects="output",
    )
    recordings: Optional[str] = key(
        None,
        "Regular expression whose first group is the recording of a file name; "
        "whole recordings are then kept on one side.",
        affects="output",
    )
    val_fraction: float = key(
        0.15, "Share of each person's images for validation.", low=0, high=0.9, affects="output"
    )
    test_fraction: float = key(
        0.0, "Share of each person's images for a test split.", low=0, high=0.9, affects="output"
    )
    hold_out: List[str] = key(
        [], "Groups whose images are the test split, like day=220110; of --name or a table.", affects="output"
    )
    guard: int = key(
        3,
        "Images dropped between two blocks; 3 is safe for windows that overlap by 75 %.",
        low=0,
        affects="output",
    )
    crop: str = key(
        "refuse",
        "Figures with margins (axes, ticks, colour bar): refuse them, auto = cut them to their "
        "plot areas, none = take them as they are.",
        choices=("refuse", "auto", "none"),
        affects="output",
    )
    copy: bool = key(False, "Copy the files instead of linking them.", affects="nothing")
    seed: int = key(0, "Seed for assigning recordings, or files with method random.", low=0, affects="output")


@dataclass
class DoctorConfig(Command):
    """stage0_prepare.py doctor: exit status 0 = OK, 1 = warnings, 2 = something cannot run."""

    output_dir: str = key(".", "Folder in which runs will write, whose disk is examined.", affects="nothing")
    weights_dir: str = key("weights", "Folder of published weights.", affects="nothing")
    latent_dir: Optional[str] = key(
        None, "Folder of stage 1 whose latents_stats.pt is examined.", affects="nothing"
    )
    fix: bool = key(
        False, "Recompute a corrupt latents_stats.pt of latent_dir from its latents.", affects="nothing"
    )


@dataclass
class SetupConfig(Command):
    """stage0_prepare.py setup: exit status 0 = stage 3 can draw, 1 = something is missing or damaged."""

    folders: List[str] = key(
        ["/kaggle/input", "weights", "data_split", "trained_models", "trained_tokenizer"],
        "Folders to look below for weights and images.",
        affects="nothing",
    )
    output_dir: str = key(".", "Folder for kaggle_inference_config.yaml.", affects="nothing")
    max_depth: int = key(
        8, "Folders within folders that are looked into.", low=0, high=100, affects="nothing"
    )
    max_entries: int = key(50000, "Names of files and folders looked at, at most.", low=1, affects="nothing")


@dataclass
class DownloadConfig(Command):
    """stage0_prepare.py download."""

    weights: List[str] = key(
        ["all"],
        "vavae, lightningdit-xl-800ep, lightningdit-xl-64ep, latents-stats, or all.",
        positional=True,
        affects="nothing",
    )
    dir: str = key("weights", "Folder for the files.", affects="nothing")


@dataclass
class SimulateConfig(Command):
    """stage0_prepare.py simulate: walkers whose truth is known."""

    output_dir: str = key(
        REQUIRED, "Folder that will hold ID_1, ID_2, ..., truth.csv and axes.csv.", affects="nothing"
    )
    num_users: int = key(31, "Number of people.", low=1, high=10000, affects="output")
    samples_per_user: int = key(
        150, "Images per person, cut from several recordings.", low=1, high=100000, affects="output"
    )
    recordings_per_user: int = key(4, "Recordings per person.", low=1, affects="output")
    gaits: List[str] = key(
        ["normal"],
        "Ways of walking of each person; several give folders ID_1_normal, ID_1_backpack, ...",
        choices=GAITS,
        affects="output",
    )
    drawn_gaits: int = key(
        0,
        "Further ways of walking of each person, the same of everybody: multiples of speed, cadence, arm "
        "swing and the trunk's echo, drawn at random; folders ID_1_ga, ID_1_gb, ...",
        low=0,
        high=24,
        affects="output",
        counts_with="drawn_gaits",
    )
    varied: bool = key(
        False,
        "Another radar, direction and make of image for each recording, as a tokenizer should see.",
        affects="output",
    )
    seed: int = key(0, "Seed of people, walks and noise.", low=0, affects="output")


@dataclass
class DrawingConfig(Command):
    """Recordings to images: what all commands that draw them have."""

    input: str = key(
        REQUIRED,
        "A recording (docs/data.md lists the formats), or a folder of them like ID_7/rec1.npy.",
        affects="run",
        content=True,
    )
    output_dir: str = key(REQUIRED, "Folder for ID_7/rec1_001.png, ... and axes.csv.", affects="nothing")
    leave_out: List[str] = leave_out_key(affects="run")
    skip_bad_recordings: bool = key(False, "Go on without recordings that cannot be read.", affects="run")
    carrier: Optional[float] = key(
        None, "Carrier frequency, e.g. 77e9; none = as the file states.", unit="Hz", above=0, affects="output"
    )
    prf: Optional[float] = key(
        None,
        "Pulses (samples of slow time) per second; none = as the file states.",
        unit="Hz",
        above=0,
        affects="output",
    )
    burst_period: Optional[float] = key(
        None,
        "Time from burst to burst (of frames of chirps: from frame to frame).",
        unit="s",
        above=0,
        affects="output",
    )
    cells: Optional[int] = key(
        None,
        "Range cells of the gate that follows the walker; none = 1.6 m of them, or 8.",
        low=1,
        affects="output",
    )
    duration: Optional[float] = key(
        None, "Length of a ready matrix (--layout velocities,times).", unit="s", above=0, affects="output"
    )
    scale: str = key(
        "unknown",
        "What the values of a ready matrix are.",
        choices=("unknown", "db", "power", "amplitude"),
        affects="output",
    )
    balance: bool = key(True, "Estimate and remove the imbalance of I and Q.", affects="output")
    conjugate: bool = key(
        False, "Swap the sign of velocities, of receivers whose Q runs the other way.", affects="output"
    )
    frames: Optional[int] = key(
        None,
        "Frames of an image; none = 55, or all bursts where they are fewer.",
        low=8,
        high=4096,
        affects="output",
    )
    velocity_range: List[float] = key(
        [],
        "Lowest and highest velocity shown; none = all unambiguous ones around 0.",
        unit="m/s",
        affects="output",
    )
    window_s: Optional[float] = key(
        None, "Length of the window; none = by carrier.", unit="s", above=0, affects="output"
    )
    frames_per_second: float = key(26.0, "Frames per second.", above=0, high=1e4, affects="output")
    clutter_s: float = key(
        0.5,
        "Width of the moving mean that removes static echoes.",
        unit="s",
        low=0.01,
        high=60,
        affects="output",
    )
    dynamic_range_db: float = key(
        30.0, "Range below the brightest cell that is shown.", unit="dB", above=0, high=200, affects="output"
    )
    colour_map: str = key("jet", "Name of a matplotlib colour map.", affects="output")


@dataclass
class SpectrogramConfig(DrawingConfig):
    """stage0_prepare.py spectrogram: recordings of complex I/Q to images."""

    name: Optional[str] = name_key()
    labels: Optional[str] = labels_key()
    variable: Optional[str] = key(
        None, "Name of the array in a file that holds several, or of I and Q: ch1,ch2.", affects="output"
    )
    layout: Optional[str] = key(
        None,
        "Axes of the array in order, e.g. frames,chirps,receivers,samples or iq,pulses; "
        "chirps*samples=64 is one axis of both.",
        affects="output",
    )
    db_range: List[float] = key(
        [],
        "dB of black and of white in grey images, which are read only then; so of 0 and the largest value "
        "in matrices of 8-bit or 16-bit whole numbers.",
        unit="dB",
        affects="output",
    )
    cfg: Optional[str] = key(
        None,
        "Profile of a TI radar (mmWave SDK .cfg, Studio .json); none = the one beside the stream.",
        affects="run",
        content=True,
    )
    burst_samples: Optional[int] = key(
        None, "Pulses of a burst, of recordings in bursts.", low=2, affects="output"
    )
    folded: bool = key(False, "Draw the speeds of one real channel, which have no sign.", affects="output")


@dataclass
class ImportConfig(DrawingConfig):
    """stage0_prepare.py import: a public data set to images."""

    public_set: List[str] = key(
        [], f"One of {', '.join(PUBLIC_SETS)}.", choices=PUBLIC_SETS, positional=True, affects="output"
    )
