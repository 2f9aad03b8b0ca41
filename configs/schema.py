"""Every key a user can set: its type, default, unit, one sentence, and what it affects (`configs.keys.key`).

A section is a dataclass; a YAML preset holds one mapping per section. The flags of a stage are the keys of
its own section, so a key is described once, here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key, passed_on

GAITS = ("normal", "hurried", "backpack", "pockets")
PRECISIONS = ("auto", "32", "bf16-mixed", "16-mixed")
GEOMETRIES = ("stretch", "pad", "crop")
PUBLIC_SETS = ("glasgow", "idrad", "mmrgait", "mvdoppler", "sense2gol")
SOLVERS = ("euler", "heun", "abm3", "dopri5")
PRESETS = tuple(
    f"LightningDiT-{size}/{patch}" for size in ("S", "B", "L", "XL", "1p0B", "1p6B") for patch in (1, 2)
)

# What several commands say of one key.
AXES = (
    "Lowest and highest velocity shown (m/s), an image's length (s), and perhaps the range of its colours "
    "(dB); none = as axes.csv, the latents or the model say."
)
MARGINS = "Figures with margins (axes, ticks, colour bar): refuse them, or keep = take them as they are."
COLOUR_MAP = "Matplotlib colour map of the images, or parula; auto = as the real ones have it."


@dataclass(kw_only=True)
class Command:
    """What every command has; `given` names the keys that were asked for, even at their default."""

    given: ClassVar[frozenset[str]] = frozenset()
    dry_run: bool = key(
        False,
        "Say what would be read, written and done, refuse what the real run would, and write nothing.",
        affects="nothing",
    )


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
    name: Optional[str] = key(
        None,
        "Regular expression of paths below the folder that tells whose a file is: (?P<person>…), and "
        "perhaps (?P<condition>…), (?P<recording>…), (?P<day>…) or any other group.",
        affects="output",
    )
    labels: Optional[str] = key(
        None,
        "Table of file, person, and perhaps condition, recording, day, ...; none = labels.csv where it "
        "lies in the folder, else a folder per person.",
        affects="output",
    )
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="output",
    )
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
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
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

    name: Optional[str] = key(
        None,
        "Regular expression of paths below the folder that tells whose a file is: (?P<person>…), and "
        "perhaps (?P<condition>…), (?P<recording>…), (?P<day>…) or any other group.",
        affects="output",
    )
    labels: Optional[str] = key(
        None,
        "Table of file, person, and perhaps condition, recording, day, ...; none = labels.csv where it "
        "lies in the folder, else a folder per person.",
        affects="output",
    )
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


@dataclass
class ExtractConfig(Command):
    """stage1_extract_features.py."""

    data_dir: str = key(
        REQUIRED,
        "Folder with train/, val/ and perhaps test/, as stage 0 writes it.",
        affects="run",
        content=True,
    )
    vavae_path: str = key(
        REQUIRED,
        "Tokenizer weights: compact for the bundled ones, published .pt, .ckpt, or slim .safetensors.",
        affects="run",
        content=True,
        weights=True,
    )
    output_path: str = key(
        "latent_features", "Folder for the latents and their statistics.", affects="nothing"
    )
    margins: str = key("refuse", MARGINS, choices=("refuse", "keep"), affects="nothing")
    batch_size: int = key(32, "Images encoded at once.", low=1, high=65536, affects="nothing")
    imagenet_stats: Optional[str] = key(
        None,
        "ImageNet's latents_stats.pt of the same tokenizer, to compare with; none = the one beside the "
        "tokenizer's file, where there is one.",
        affects="run",
        content=True,
        weights=True,
    )
    geometry: str = key("stretch", "How an image becomes square.", choices=GEOMETRIES, affects="run")
    axes: List[float] = key([], AXES, affects="run")
    time_flip: bool = key(
        False,
        "Also encode mirrored images; of a spectrogram that is another motion, in reversed time.",
        affects="run",
    )
    skip_bad_images: bool = key(False, "Go on without images that cannot be read.", affects="run")
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
    num_workers: Optional[int] = key(
        None,
        "Threads that read images; none = one for each core, eight at most.",
        low=1,
        high=256,
        affects="nothing",
    )
    export: str = key(
        "none",
        "Also write the folder that upstream's loader reads.",
        choices=("none", "lightningdit"),
        affects="run",
    )
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="nothing")
    devices: str = key("1", "Number of devices, each with its process, or auto.", affects="nothing")
    precision: str = key("auto", "Arithmetic; auto tries what is fastest.", choices=PRECISIONS, affects="run")
    compile: bool = key(
        False, "Compile the tokenizer; for GPUs, on a CPU without AMX it does not pay.", affects="run"
    )


@dataclass
class ModelConfig:
    """The LightningDiT that stage 2 trains."""

    given: ClassVar[frozenset[str]] = frozenset()  # keys that were asked for
    preset: str = key(
        "auto",
        "auto chooses by the number of training latents.",
        choices=("auto", *PRESETS),
        affects="output",
    )
    depth: Optional[int] = key(None, "Blocks; overrides the preset.", low=1, high=256, affects="output")
    hidden_size: Optional[int] = key(
        None, "Channels of a token; overrides the preset.", low=4, high=16384, affects="output"
    )
    num_heads: Optional[int] = key(
        None, "Attention heads; overrides the preset.", low=1, high=1024, affects="output"
    )
    patch_size: Optional[int] = key(
        None, "Latent positions per token side; overrides the preset.", low=1, high=64, affects="output"
    )
    mlp_ratio: float = key(
        4.0, "Width of the MLP relative to hidden_size.", above=0, high=64, affects="output"
    )
    class_dropout_prob: float = key(
        0.1,
        "Share of labels replaced by the null class; 0 rules guidance out.",
        low=0,
        high=1,
        affects="output",
    )
    learn_sigma: bool = key(False, "Predict twice the channels and drop the second half.", affects="output")
    use_qknorm: bool = key(
        True, "Normalise queries and keys: steadier in 16-bit arithmetic.", affects="output"
    )
    use_swiglu: bool = key(True, "SwiGLU instead of a GELU MLP.", affects="output")
    use_rope: bool = key(True, "Rotary position embedding.", affects="output")
    use_rmsnorm: bool = key(True, "RMSNorm instead of LayerNorm.", affects="output")
    wo_shift: bool = key(False, "Modulate without shifts.", affects="output")
    use_checkpoint: bool = key(
        False, "Activation checkpointing: less memory, about a third more time.", affects="run"
    )


@dataclass
class TransportConfig:
    """Path, prediction and times of the flow-matching transport."""

    path_type: str = key(
        "Linear", "Interpolation between noise and data.", choices=("Linear", "GVP", "VP"), affects="output"
    )
    prediction: str = key(
        "velocity", "What the network predicts.", choices=("velocity", "noise", "score"), affects="output"
    )
    loss_weight: Optional[str] = key(
        None, "Weight of a noise or score loss.", choices=(None, "velocity", "likelihood"), affects="output"
    )
    train_eps: Optional[float] = key(
        None, "Time kept away from the ends in training; none = by path.", low=0, high=0.5, affects="output"
    )
    sample_eps: Optional[float] = key(
        None, "Time kept away from the ends in sampling; none = by path.", low=0, high=0.5, affects="output"
    )
    use_cosine_loss: bool = key(True, "Add 1 - cos between prediction and target.", affects="output")
    use_lognorm: bool = key(True, "Logit-normal training times instead of uniform ones.", affects="output")
    lognorm_loc: float = key(
        0.0,
        "Centre of these times before the sigmoid; below 0 more of them are near noise.",
        low=-5,
        high=5,
        affects="output",
    )


@dataclass
class FitConfig(Command):
    """What every training has: how long, how fast, on what."""

    batch_size: int = key(32, "Samples per device and step.", low=1, high=65536, affects="output")
    max_epochs: int = key(
        100, "Passes over the training data, unless max_steps is given.", low=1, high=10**7, affects="run"
    )
    max_steps: Optional[int] = key(
        None, "Optimizer steps; overrides max_epochs.", low=1, high=10**9, affects="run"
    )
    lr: float = key(1e-4, "Peak learning rate.", above=0, affects="output")
    warmup_steps: int = key(
        100, "Steps over which the learning rate rises from 0.", unit="steps", low=0, affects="output"
    )
    lr_decay: str = key(
        "constant",
        "Learning rate after the warm-up.",
        choices=("constant", "linear", "cosine"),
        affects="output",
    )
    weight_decay: float = key(0.0, "AdamW weight decay.", low=0, affects="output")
    beta2: float = key(
        0.999,
        "AdamW second-moment decay; 0.95 suits batches of about 1000.",
        low=0,
        high=0.99999,
        affects="output",
    )
    gradient_clip: float = key(1.0, "Largest gradient norm; 0 turns clipping off.", low=0, affects="output")
    accumulate: int = key(
        1, "Batches whose gradients are summed before a step.", low=1, high=65536, affects="output"
    )
    ema_decay: float = key(
        0.999, "Decay of the averaged weights after their warm-up.", low=0, high=0.999999, affects="output"
    )
    validate_every: Optional[int] = key(
        None,
        "Steps between validations and saves; none = 50 in a run (tokenizer: 20).",
        unit="steps",
        low=1,
        affects="output",
    )
    patience: Optional[int] = key(
        None,
        "Validations without a better one after which training ends; none = never.",
        low=1,
        affects="nothing",
    )
    log_every: int = key(20, "Steps between log lines.", unit="steps", low=1, affects="nothing")
    devices: str = key("1", "Number of devices of each node, or auto.", affects="run")
    num_nodes: int = key(
        1, "Machines that train together, started by SLURM or torchrun.", low=1, affects="run"
    )
    accelerator: str = key("auto", "auto, cpu or cuda.", choices=("auto", "cpu", "cuda"), affects="nothing")
    precision: str = key(
        "auto",
        "auto takes what is fastest here, tried with a few steps beforehand.",
        choices=PRECISIONS,
        affects="run",
    )
    ema_on_host: bool = key(
        False, "Keep averaged weights in the host's memory: less on the GPU, slower.", affects="nothing"
    )
    seed: int = key(0, "Seed of initial weights, order, noise and times.", low=0, affects="output")
    max_hours: Optional[float] = key(
        None,
        "Stop after so long with everything saved; the same command goes on.",
        unit="h",
        above=0,
        affects="nothing",
    )
    resume_from: Optional[str] = key(
        None, "Output folder of an earlier session to start from; it is only read.", affects="nothing"
    )


@dataclass
class TrainConfig(FitConfig):
    """stage2_train_dit.py."""

    latent_dir: str = key(REQUIRED, "Folder written by stage 1.", affects="output", content=True)
    output_dir: str = key("trained_models", "Folder for checkpoints, logs and curves.", affects="nothing")
    sample_posterior: bool = key(
        True, "Draw z = mean + std * eps at each step instead of taking the mean.", affects="output"
    )
    statistics: str = key(
        "auto",
        "Which statistics normalise the latents; auto follows stage 1's recommendation.",
        choices=("auto", "micro_doppler", "imagenet"),
        affects="output",
    )
    init_from: Optional[str] = key(
        None,
        "Weights to start from: best.safetensors or .ckpt of stage 2, a published .pt, or demo = the "
        "model of simulated walkers that ships (with compact latents).",
        affects="output",
        content=True,
        weights=True,
    )
    tune: str = key(
        "full",
        "With init_from, what is trained: everything; biases, norms' scales and the class table (DiffFit); "
        "or new people's rows of that table alone, beside the people known, who stay unchanged.",
        choices=("full", "difffit", "person"),
        renamed={"diffit": "difffit"},
        affects="output",
    )
    conditions: Optional[str] = key(
        None,
        "Regular expression of what in a folder's name is a condition (_[a-z]+$ of ID_7_backpack); "
        "people and conditions add up, and combinations never recorded can be asked for.",
        affects="output",
    )
    vavae_path: Optional[str] = key(
        None, "Tokenizer for sample previews; none = no previews.", affects="nothing", weights=True
    )
    watch_copies: int = key(
        16,
        "Latents drawn at each validation to see whether the model copies; 0 = not watched.",
        low=0,
        affects="output",
    )
    preview_users: int = key(4, "People shown in a preview.", low=1, affects="nothing")
    preview_every: int = key(5, "Validations between previews.", low=1, affects="nothing")
    compile: bool = key(False, "Compile the network: minutes at the start, faster steps.", affects="run")


@dataclass
class SampleConfig(Command):
    """stage3_inference.py."""

    dit_checkpoint: str = key(
        REQUIRED,
        "best.ckpt or best.safetensors of stage 2, a published .pt, or demo = the one that ships.",
        affects="output",
        content=True,
        weights=True,
    )
    vavae_path: str = key(
        REQUIRED,
        "The tokenizer whose latents the model was trained on; compact = the one that ships.",
        affects="output",
        content=True,
        weights=True,
    )
    output_dir: str = key(
        "generated_images", "Folder for images, grid, samples.csv and metadata.csv.", affects="nothing"
    )
    layout: str = key(
        "flat",
        "flat = all images side by side; folders = a folder per person, for torchvision's ImageFolder.",
        choices=("flat", "folders"),
        affects="output",
    )
    arrays: bool = key(
        False,
        "Also write each image as .npz (dB over velocity and time, with axes), and a labelled figure of each "
        "person.",
        affects="nothing",
    )
    user_ids: List[str] = key(
        ["all"], "People to draw: numbers, ranges (1-5), folder names, or all.", affects="nothing"
    )
    num_samples_per_user: int = key(4, "Images per person.", low=1, high=100000, affects="run")
    select: Optional[str] = key(
        None,
        "Selecting judge of stage4_evaluate.py judge; keeps the images that it accepts, none = all.",
        affects="output",
        content=True,
        weights=True,
    )
    keep: Optional[int] = key(
        None, "Images kept per person with --select; none = num_samples_per_user.", low=1, affects="run"
    )
    attempts: int = key(
        4, "With --select, images drawn at most for each one to be kept.", low=1, affects="run"
    )
    guidance_scale: float = key(
        1.5, "Classifier-free guidance; 1 turns it off.", low=0, high=100, affects="output"
    )
    guidance_condition: Optional[float] = key(
        None,
        "Guidance towards the condition, of a model of people in conditions; none = guidance_scale.",
        low=0,
        high=100,
        affects="output",
    )
    guidance_interval: List[float] = key(
        [0.125, 1.0],
        "Times between which guidance acts; outside, an evaluation costs half.",
        low=0,
        high=1,
        affects="output",
    )
    guidance_channels: Optional[int] = key(
        None, "Leading channels guided; none = all (3 reproduces published samples).", low=1, affects="output"
    )
    guidance_rescale: float = key(
        0.0,
        "Share by which the guided velocity is brought back to its old scale.",
        low=0,
        high=1,
        affects="output",
    )
    num_steps: int = key(
        15, "Intervals of the time grid (ignored by dopri5).", low=1, high=100000, affects="output"
    )
    sampler: str = key(
        "abm3", "ODE solver; abm3 takes one evaluation a step.", choices=SOLVERS, affects="output"
    )
    timestep_shift: float = key(
        0.85,
        "Shift of the grid towards noise; 0 or 1 = off, published results use 0.3.",
        low=0,
        high=100,
        affects="output",
    )
    timestep_cosine: float = key(
        0.5,
        "Share of a cosine in the grid, finer at both ends; published results use 0.",
        low=0,
        high=1,
        affects="output",
    )
    demo_grid: bool = key(
        False, "Draw upstream's eight demo classes, at its demo's settings, into a 2 x 4 grid.", affects="run"
    )
    atol: float = key(1e-6, "Absolute tolerance of dopri5.", above=0, affects="output")
    rtol: float = key(1e-3, "Relative tolerance of dopri5.", above=0, affects="output")
    latents_stats: Optional[str] = key(
        None,
        "latents_stats.pt, only for published checkpoints, which carry none.",
        affects="output",
        content=True,
        weights=True,
    )
    axes: List[float] = key([], AXES, affects="output")
    batch_size: int = key(16, "Images drawn at once.", low=1, high=65536, affects="nothing")
    compile: bool = key(
        False, "Compile the network: minutes at the start, faster drawing of many images.", affects="run"
    )
    seed: int = key(
        0, "Seed; image k of a person depends on it, the person and k only.", low=0, affects="output"
    )
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...", affects="run")
    devices: str = key("1", "Number of devices, each with its process, or auto.", affects="nothing")
    precision: str = key("auto", "Arithmetic; auto tries what is fastest.", choices=PRECISIONS, affects="run")


@dataclass
class EvaluateConfig(Command):
    """stage4_evaluate.py."""

    real: str = key(
        REQUIRED,
        "Folder with train/ and val/ or test/ of real images, as stage 0 writes it.",
        affects="output",
        content=True,
    )
    generated: str = key(
        REQUIRED, "Folder of images and samples.csv, as stage 3 writes it.", affects="run", content=True
    )
    output_dir: str = key(
        "evaluation_report", "Folder for metrics.json, images and the judges' weights.", affects="nothing"
    )
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
    axes: List[float] = key([], AXES, affects="run")
    colour_map: str = key("auto", COLOUR_MAP, affects="run")
    margins: str = key("refuse", MARGINS, choices=("refuse", "keep"), affects="nothing")
    vavae_path: Optional[str] = key(
        None,
        "Tokenizer to check, whose latents are compared too; compact for the bundled one, none = without.",
        affects="run",
        content=True,
        weights=True,
    )
    inception: Optional[str] = key(
        None,
        "File of torchvision's inception_v3 weights for its features.",
        affects="run",
        content=True,
        weights=True,
    )
    dinov2: Optional[str] = key(
        None,
        "File of timm's vit_small_patch14_dinov2 for its features.",
        affects="run",
        content=True,
        weights=True,
    )
    verdict: bool = key(
        False,
        "Augmentation study: whether generated images help; trains classifiers with and without them.",
        affects="run",
    )
    verdict_seeds: int = key(5, "Seeds of every classifier of the augmentation study.", low=2, affects="run")
    sweep: Optional[str] = key(
        None, "sweep.json of stage4_evaluate.py sweep, to be in the report.", affects="run", content=True
    )
    judge_seeds: int = key(
        3, "Judges trained; the first one names, all give the spread.", low=1, affects="run"
    )
    seed: int = key(
        0, "Seed of the first judge and of what is drawn from larger sets.", low=0, affects="output"
    )
    device: str = key(
        "auto", "Device of the tokenizer and the named networks: auto, cpu, cuda, ...", affects="nothing"
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
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
    colour_map: str = key("auto", COLOUR_MAP, affects="output")
    margins: str = key("refuse", MARGINS, choices=("refuse", "keep"), affects="nothing")
    seed: int = key(0, "Seed of the judge.", low=0, affects="output")


@dataclass
class SweepConfig(Command):
    """stage4_evaluate.py sweep."""

    real: str = key(
        REQUIRED,
        "Folder with train/ and val/ or test/ of real images, as stage 0 writes it.",
        affects="output",
        content=True,
    )
    dit_checkpoint: str = key(
        REQUIRED, "Trained network, as of stage 3.", affects="output", content=True, weights=True
    )
    vavae_path: str = key(REQUIRED, "Tokenizer, as of stage 3.", affects="output", content=True, weights=True)
    output_dir: str = key(
        "guidance_sweep", "Folder for sweep.json, sweep.png and the images.", affects="nothing"
    )
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
    axes: List[float] = key([], AXES, affects="run")
    colour_map: str = key("auto", COLOUR_MAP, affects="run")
    margins: str = key("refuse", MARGINS, choices=("refuse", "keep"), affects="nothing")
    guidance: List[float] = key(
        [1.0, 1.5, 2.0, 3.0, 4.0], "Guidance scales to try.", low=0, high=100, affects="run"
    )
    samplers: List[str] = key(
        [SampleConfig.sampler],
        "ODE solvers to try; unless given, stage 3's default.",
        choices=SOLVERS,
        affects="run",
    )
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
class TokenizerConfig(FitConfig):
    """train_tokenizer.py."""

    data_dir: str = key(
        REQUIRED, "Folder with train/ and val/, as stage 0 writes it.", affects="output", content=True
    )
    output_dir: str = key(
        "trained_tokenizer", "Folder for tokenizer.safetensors, checkpoints and curves.", affects="nothing"
    )
    leave_out: List[str] = key(
        [],
        "Patterns of paths or names (ID_3/*, *.mat) not to be read; people left out so are not missed.",
        affects="run",
    )
    margins: str = key("refuse", MARGINS, choices=("refuse", "keep"), affects="nothing")
    init_from: Optional[str] = key(
        None,
        "Weights to fine-tune; none = a fresh tokenizer of the shape below.",
        affects="output",
        content=True,
        weights=True,
    )
    ch: int = key(32, "Channels of the first level (a multiple of 32).", low=32, high=4096, affects="output")
    ch_mult: List[int] = key([1, 2, 4], "Channel multipliers of the levels.", affects="output")
    num_res_blocks: int = key(1, "Residual blocks a level.", low=1, high=64, affects="output")
    patch_size: int = key(
        4,
        "Pixels folded into channels before the first level (1 = the published family).",
        low=1,
        affects="output",
    )
    shortcut: bool = key(
        True, "Linear maps beside the encoder and the decoder: learns in far fewer steps.", affects="output"
    )
    embed_dim: int = key(32, "Latent channels.", low=1, high=4096, affects="output")
    geometry: str = key("stretch", "How an image becomes square.", choices=GEOMETRIES, affects="output")
    l1_weight: float = key(1.0, "Weight of the absolute error.", low=0, affects="output")
    l2_weight: float = key(1.0, "Weight of the squared error.", low=0, affects="output")
    kl_weight: float = key(1e-3, "Weight of the divergence from N(0, 1).", low=0, affects="output")
    crop: Optional[int] = key(
        128, "Train on random squares of this side; none = whole images.", low=32, high=256, affects="output"
    )
    align_weight: float = key(
        0.1, "Weight of the alignment with a foundation model.", low=0, affects="output"
    )
    align_model: Optional[str] = key(
        None, "timm name of the foundation model, e.g. a DINOv2; none = off.", affects="output"
    )
    align_weights: Optional[str] = key(
        None, "File with that model's weights.", affects="output", content=True, weights=True
    )
    batch_size: int = key(8, "Images per device and step.", low=1, high=65536, affects="output")
    lr: float = key(2e-3, "Peak learning rate.", above=0, affects="output")
    lr_decay: str = key(
        "cosine",
        "Learning rate after the warm-up.",
        choices=("constant", "linear", "cosine"),
        affects="output",
    )
    beta2: float = key(0.99, "AdamW second-moment decay.", low=0, high=0.99999, affects="output")


@dataclass
class PipelineConfig(Command):
    """run_complete_pipeline.py."""

    data_dir: Optional[str] = key(
        None, "Folder with train/ and val/; not needed with --demo.", affects="nothing"
    )
    vavae_path: Optional[str] = key(
        None,
        "Tokenizer weights, or compact for the bundled ones; not needed with --demo.",
        affects="nothing",
        weights=True,
    )
    output_dir: str = key("out", "Folder for everything the stages write.", affects="nothing")
    generate_user_ids: List[str] = key(
        ["all"], "People to draw: numbers, ranges, folder names, or all.", affects="nothing"
    )
    skip_extraction: bool = key(False, "Use the latents already in output_dir.", affects="nothing")
    skip_training: bool = key(False, "Use the checkpoint already in output_dir.", affects="nothing")
    skip_generation: bool = key(False, "Stop after training.", affects="nothing")
    evaluate: bool = key(False, "Judge the generated images by stage 4 at the end.", affects="nothing")
    demo: bool = key(
        False,
        "Simulate walkers and run every stage on them, with the tokenizer that ships.",
        affects="nothing",
    )
    quick: bool = key(False, "With demo: at toy size, to see that everything runs.", affects="nothing")
    # The keys below go to the stages as they are.
    max_hours: Optional[float] = passed_on(TrainConfig, "max_hours")
    resume_from: Optional[str] = passed_on(TrainConfig, "resume_from")
    imagenet_stats: Optional[str] = passed_on(ExtractConfig, "imagenet_stats")
    batch_size: Optional[int] = passed_on(TrainConfig, "batch_size")
    max_epochs: Optional[int] = passed_on(TrainConfig, "max_epochs")
    max_steps: Optional[int] = passed_on(TrainConfig, "max_steps")
    lr: Optional[float] = passed_on(TrainConfig, "lr")
    devices: Optional[str] = passed_on(TrainConfig, "devices")
    precision: Optional[str] = passed_on(TrainConfig, "precision")
    num_samples_per_user: Optional[int] = passed_on(SampleConfig, "num_samples_per_user")
    guidance_scale: Optional[float] = passed_on(SampleConfig, "guidance_scale")
    num_steps: Optional[int] = passed_on(SampleConfig, "num_steps")
    seed: Optional[int] = passed_on(TrainConfig, "seed")
    use_checkpoint: bool = passed_on(ModelConfig, "use_checkpoint")


SECTIONS = {
    "split": SplitConfig,
    "doctor": DoctorConfig,
    "setup": SetupConfig,
    "download": DownloadConfig,
    "simulate": SimulateConfig,
    "spectrogram": SpectrogramConfig,
    "import": ImportConfig,
    "extract": ExtractConfig,
    "model": ModelConfig,
    "transport": TransportConfig,
    "train": TrainConfig,
    "sample": SampleConfig,
    "evaluate": EvaluateConfig,
    "judge": SelectingJudgeConfig,
    "sweep": SweepConfig,
    "tokenizer": TokenizerConfig,
    "pipeline": PipelineConfig,
}

# Keys of other sections that a command line of the section has a flag for, too: what people need first.
FURTHER_FLAGS = {"train": (("model", "use_checkpoint"),)}
