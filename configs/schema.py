"""Every key a user can set: its type, default, unit and one sentence.

A section is a dataclass; a YAML preset holds one mapping per section. The flags of a stage are the keys of
its own section, so a key is described once, here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key

GAITS = ("normal", "hurried", "backpack", "pockets")
PRECISIONS = ("auto", "32", "bf16-mixed", "16-mixed")
GEOMETRIES = ("stretch", "pad", "crop")
SOLVERS = ("euler", "heun", "abm3", "dopri5")
PRESETS = tuple(
    f"LightningDiT-{size}/{patch}" for size in ("S", "B", "L", "XL", "1p0B", "1p6B") for patch in (1, 2)
)


@dataclass(kw_only=True)
class Command:
    """What every command has; `given` names the keys that were asked for, even at their default."""

    given: ClassVar[frozenset[str]] = frozenset()
    dry_run: bool = key(
        False, "Say what would be read, written and done, refuse what the real run would, and write nothing."
    )


@dataclass
class SplitConfig(Command):
    """stage0_prepare.py split."""

    input_dir: str = key(REQUIRED, "Folder with one sub-folder of images per person, e.g. ID_1 ... ID_31.")
    output_dir: str = key(REQUIRED, "Folder that will hold train/, val/ and, when asked for, test/.")
    method: str = key(
        "blocks",
        "blocks: contiguous blocks in time with a guard gap; random: leaks, for comparisons only.",
        choices=("blocks", "random"),
    )
    recordings: Optional[str] = key(
        None,
        "Regular expression whose first group is the recording of a file name; "
        "whole recordings are then kept on one side.",
    )
    val_fraction: float = key(0.15, "Share of each person's images for validation.", low=0, high=0.9)
    test_fraction: float = key(0.0, "Share of each person's images for a test split.", low=0, high=0.9)
    guard: int = key(
        3, "Images dropped between two blocks; 3 is safe for windows that overlap by 75 %.", low=0
    )
    copy: bool = key(False, "Copy the files instead of linking them.")
    seed: int = key(0, "Seed for assigning recordings, or files with method random.", low=0)


@dataclass
class DoctorConfig(Command):
    """stage0_prepare.py doctor: exit status 0 = nothing to mend, 1 = warnings, 2 = something cannot run."""

    output_dir: str = key(".", "Folder in which runs will write, whose disk is examined.")
    weights_dir: str = key("weights", "Folder of published weights.")
    latent_dir: Optional[str] = key(None, "Folder of stage 1 whose latents_stats.pt is examined.")
    fix: bool = key(False, "Compute a broken latents_stats.pt of latent_dir anew from its latents.")


@dataclass
class SetupConfig(Command):
    """stage0_prepare.py setup: exit status 0 = stage 3 can draw, 1 = something is missing or damaged."""

    folders: List[str] = key(
        ["/kaggle/input", "weights", "data_split", "trained_models", "trained_tokenizer"],
        "Folders to look below for weights and images.",
    )
    output_dir: str = key(".", "Folder for kaggle_inference_config.yaml.")
    max_depth: int = key(8, "Folders within folders that are looked into.", low=0, high=100)
    max_entries: int = key(50000, "Names of files and folders looked at, at most.", low=1)


@dataclass
class DownloadConfig(Command):
    """stage0_prepare.py download."""

    weights: List[str] = key(
        ["all"], "vavae, lightningdit-xl-800ep, lightningdit-xl-64ep, latents-stats, or all.", positional=True
    )
    dir: str = key("weights", "Folder for the files.")


@dataclass
class SimulateConfig(Command):
    """stage0_prepare.py simulate: walkers whose truth is known."""

    output_dir: str = key(REQUIRED, "Folder that will hold ID_1, ID_2, ... and truth.csv.")
    num_users: int = key(31, "Number of people.", low=1, high=10000)
    samples_per_user: int = key(150, "Images per person, cut from several recordings.", low=1, high=100000)
    recordings_per_user: int = key(4, "Recordings per person.", low=1)
    gaits: List[str] = key(
        ["normal"], "Ways of walking of each person; several give folders ID_1_normal, ID_1_backpack, ...",
        choices=GAITS,
    )
    varied: bool = key(
        False, "Another radar, direction and make of picture for each recording, as a tokenizer should see."
    )
    seed: int = key(0, "Seed of people, walks and noise.", low=0)


@dataclass
class SpectrogramConfig(Command):
    """stage0_prepare.py spectrogram: recordings of complex I/Q to pictures."""

    input: str = key(REQUIRED, "A recording (.npy, .mat, .h5), or a folder of them like ID_7/rec1.npy.")
    output_dir: str = key(REQUIRED, "Folder for ID_7/rec1_001.png, ... and axes.csv.")
    carrier: float = key(REQUIRED, "Carrier frequency, e.g. 77e9.", unit="Hz", above=0)
    prf: float = key(REQUIRED, "Pulses (samples of slow time) per second.", unit="Hz", above=0)
    variable: Optional[str] = key(None, "Name of the array in a .mat or .h5 that holds several.")
    cells: int = key(4, "Strongest range cells whose powers are summed.", low=1)
    velocity_range: List[float] = key(
        [], "Lowest and highest velocity shown; none = all unambiguous ones around 0.", unit="m/s"
    )
    window_s: Optional[float] = key(None, "Length of the window; none = by carrier.", unit="s", above=0)
    frames_per_second: float = key(26.0, "Frames per second; a picture has 55 of them.", above=0, high=1e4)
    clutter_s: float = key(0.5, "Width of the moving mean that removes static echoes.", unit="s", above=0)
    dynamic_range_db: float = key(30.0, "Range below the brightest cell that is shown.", unit="dB", above=0)
    colour_map: str = key("jet", "Name of a matplotlib colour map.")


@dataclass
class ExtractConfig(Command):
    """stage1_extract_features.py."""

    data_dir: str = key(REQUIRED, "Folder with train/, val/ and perhaps test/, as stage 0 writes it.")
    vavae_path: str = key(
        REQUIRED, "Tokenizer weights: the word compact, published .pt, .ckpt, or slim .safetensors."
    )
    output_path: str = key("latent_features", "Folder for the latents and their statistics.")
    batch_size: int = key(32, "Images encoded at once.", low=1, high=65536)
    imagenet_stats: Optional[str] = key(
        None, "ImageNet's latents_stats.pt of the same tokenizer, to compare with; none = the one beside the "
        "tokenizer's file, where there is one."
    )
    geometry: str = key("stretch", "How an image becomes square.", choices=GEOMETRIES)
    time_flip: bool = key(
        False, "Also encode mirrored images; of a spectrogram that is another motion, in reversed time."
    )
    skip_bad_images: bool = key(False, "Go on without images that cannot be read.")
    num_workers: Optional[int] = key(
        None, "Threads that read images; none = one for each core, eight at most.", low=1, high=256
    )
    export: str = key(
        "none", "Also write the folder that upstream's loader reads.", choices=("none", "lightningdit")
    )
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...")
    devices: str = key("1", "Number of devices, each with a process of its own, or auto.")
    precision: str = key("auto", "Arithmetic of the tokenizer.", choices=PRECISIONS)
    compile: bool = key(False, "Compile the tokenizer; for GPUs, on a CPU without AMX it does not pay.")


@dataclass
class ModelConfig:
    """The LightningDiT that stage 2 trains."""

    preset: str = key("auto", "auto chooses by the number of training latents.", choices=("auto", *PRESETS))
    depth: Optional[int] = key(None, "Blocks; overrides the preset.", low=1, high=256)
    hidden_size: Optional[int] = key(None, "Channels of a token; overrides the preset.", low=4, high=16384)
    num_heads: Optional[int] = key(None, "Attention heads; overrides the preset.", low=1, high=1024)
    patch_size: Optional[int] = key(
        None, "Latent positions per token side; overrides the preset.", low=1, high=64
    )
    mlp_ratio: float = key(4.0, "Width of the MLP relative to hidden_size.", above=0, high=64)
    class_dropout_prob: float = key(
        0.1, "Share of labels replaced by the null class; 0 rules guidance out.", low=0, high=1
    )
    learn_sigma: bool = key(False, "Predict twice the channels and drop the second half.")
    use_qknorm: bool = key(True, "Normalise queries and keys: steadier in 16-bit arithmetic.")
    use_swiglu: bool = key(True, "SwiGLU instead of a GELU MLP.")
    use_rope: bool = key(True, "Rotary position embedding.")
    use_rmsnorm: bool = key(True, "RMSNorm instead of LayerNorm.")
    wo_shift: bool = key(False, "Modulate without shifts.")
    use_checkpoint: bool = key(False, "Activation checkpointing: less memory, about a third more time.")


@dataclass
class TransportConfig:
    """Path, prediction and times of the flow-matching transport."""

    path_type: str = key("Linear", "Interpolation between noise and data.", choices=("Linear", "GVP", "VP"))
    prediction: str = key("velocity", "What the network predicts.", choices=("velocity", "noise", "score"))
    loss_weight: Optional[str] = key(
        None, "Weight of a noise or score loss.", choices=(None, "velocity", "likelihood")
    )
    train_eps: Optional[float] = key(
        None, "Time kept away from the ends in training; none = by path.", low=0, high=0.5
    )
    sample_eps: Optional[float] = key(
        None, "Time kept away from the ends in sampling; none = by path.", low=0, high=0.5
    )
    use_cosine_loss: bool = key(True, "Add 1 - cos between prediction and target.")
    use_lognorm: bool = key(True, "Logit-normal training times instead of uniform ones.")
    lognorm_loc: float = key(
        0.0, "Centre of these times before the sigmoid; below 0 more of them are near noise.", low=-5, high=5
    )


@dataclass
class FitConfig(Command):
    """What every training has: how long, how fast, on what."""

    batch_size: int = key(32, "Samples per device and step.", low=1, high=65536)
    max_epochs: int = key(100, "Passes over the training data, unless max_steps is given.", low=1, high=10**7)
    max_steps: Optional[int] = key(None, "Optimizer steps; overrides max_epochs.", low=1, high=10**9)
    lr: float = key(1e-4, "Peak learning rate.", above=0)
    warmup_steps: int = key(100, "Steps over which the learning rate rises from 0.", unit="steps", low=0)
    lr_decay: str = key(
        "constant", "Learning rate after the warm-up.", choices=("constant", "linear", "cosine")
    )
    weight_decay: float = key(0.0, "AdamW weight decay.", low=0)
    beta2: float = key(
        0.999, "AdamW second-moment decay; 0.95 suits batches of about 1000.", low=0, high=0.99999
    )
    gradient_clip: float = key(1.0, "Largest gradient norm; 0 turns clipping off.", low=0)
    accumulate: int = key(1, "Batches whose gradients are summed before a step.", low=1, high=65536)
    ema_decay: float = key(0.999, "Decay of the averaged weights after their warm-up.", low=0, high=0.999999)
    validate_every: Optional[int] = key(
        None, "Steps between validations and saves; none = 50 in a run (tokenizer: 20).", unit="steps", low=1
    )
    patience: Optional[int] = key(
        None, "Validations without a better one after which training ends; none = never.", low=1
    )
    log_every: int = key(20, "Steps between log lines.", unit="steps", low=1)
    devices: str = key("1", "Number of devices of each node, or auto.")
    num_nodes: int = key(1, "Machines that train together, started by SLURM or torchrun.", low=1)
    accelerator: str = key("auto", "auto, cpu or cuda.", choices=("auto", "cpu", "cuda"))
    precision: str = key(
        "auto", "auto takes what is fastest here, tried with a few steps beforehand.", choices=PRECISIONS
    )
    ema_on_host: bool = key(False, "Keep averaged weights in the host's memory: less on the GPU, slower.")
    seed: int = key(0, "Seed of initial weights, order, noise and times.", low=0)
    max_hours: Optional[float] = key(
        None, "Stop after so long with everything saved; the same command goes on.", unit="h", above=0
    )
    resume_from: Optional[str] = key(
        None, "Output folder of an earlier session to start from; it is only read."
    )


@dataclass
class TrainConfig(FitConfig):
    """stage2_train_dit.py."""

    latent_dir: str = key(REQUIRED, "Folder written by stage 1.")
    output_dir: str = key("trained_models", "Folder for checkpoints, logs and curves.")
    sample_posterior: bool = key(True, "Draw z = mean + std * eps anew each time instead of taking the mean.")
    statistics: str = key(
        "auto",
        "Which statistics normalise the latents; auto follows stage 1's recommendation.",
        choices=("auto", "micro_doppler", "imagenet"),
    )
    init_from: Optional[str] = key(
        None, "Weights to start from: best.safetensors or .ckpt of stage 2, a published .pt, or demo = the "
        "model of simulated walkers that ships (with compact latents)."
    )
    tune: str = key(
        "full",
        "With init_from, what is trained: everything; biases, norms' scales and the class table; or new "
        "people's rows of that table alone, beside the people known, who stay as they are.",
        choices=("full", "diffit", "person"),
    )
    conditions: Optional[str] = key(
        None, "Regular expression of what in a folder's name is a condition (_[a-z]+$ of ID_7_backpack); "
        "people and conditions add up, and combinations never recorded can be drawn."
    )
    vavae_path: Optional[str] = key(None, "Tokenizer for sample previews; none = no previews.")
    watch_copies: int = key(
        16, "Latents drawn at each validation to see whether the model copies; 0 = not watched.", low=0
    )
    preview_users: int = key(4, "People shown in a preview.", low=1)
    preview_every: int = key(5, "Validations between previews.", low=1)
    compile: bool = key(False, "Compile the network: minutes at the start, faster steps.")


@dataclass
class SampleConfig(Command):
    """stage3_inference.py."""

    dit_checkpoint: str = key(
        REQUIRED, "best.ckpt or best.safetensors of stage 2, a published .pt, or demo = the one that ships."
    )
    vavae_path: str = key(
        REQUIRED, "The tokenizer whose latents the model was trained on; compact = the one that ships."
    )
    output_dir: str = key("generated_images", "Folder for images, grid and samples.csv.")
    user_ids: List[str] = key(["all"], "People to draw: numbers, ranges (1-5), folder names, or all.")
    num_samples_per_user: int = key(4, "Images per person.", low=1, high=100000)
    select: Optional[str] = key(
        None, "Selecting judge of stage4_evaluate.py judge; keeps what it passes, none = everything."
    )
    keep: Optional[int] = key(
        None, "Images kept per person with --select; none = num_samples_per_user.", low=1
    )
    attempts: int = key(4, "With --select, images drawn at most for each one to be kept.", low=1)
    guidance_scale: float = key(1.5, "Classifier-free guidance; 1 turns it off.", low=0, high=100)
    guidance_condition: Optional[float] = key(
        None, "Guidance towards the condition, of a model of people in conditions; none = guidance_scale.",
        low=0, high=100,
    )
    guidance_interval: List[float] = key(
        [0.125, 1.0], "Times between which guidance acts; outside, an evaluation costs half.", low=0, high=1
    )
    guidance_channels: Optional[int] = key(
        None, "Leading channels guided; none = all (3 reproduces published samples).", low=1
    )
    guidance_rescale: float = key(
        0.0, "Share by which the guided velocity is brought back to its old scale.", low=0, high=1
    )
    num_steps: int = key(15, "Intervals of the time grid (ignored by dopri5).", low=1, high=100000)
    sampler: str = key("abm3", "ODE solver; abm3 takes one evaluation a step.", choices=SOLVERS)
    timestep_shift: float = key(
        0.85, "Shift of the grid towards noise; 0 or 1 = off, published results use 0.3.", low=0, high=100
    )
    timestep_cosine: float = key(
        0.5, "Share of a cosine in the grid, finer at both ends; published results use 0.", low=0, high=1
    )
    demo_grid: bool = key(
        False, "Draw upstream's eight demo classes, at its demo's settings, into a 2 x 4 grid."
    )
    atol: float = key(1e-6, "Absolute tolerance of dopri5.", above=0)
    rtol: float = key(1e-3, "Relative tolerance of dopri5.", above=0)
    latents_stats: Optional[str] = key(
        None, "latents_stats.pt, only for published checkpoints, which carry none."
    )
    batch_size: int = key(16, "Images drawn at once.", low=1, high=65536)
    compile: bool = key(False, "Compile the network: minutes at the start, faster drawing of many images.")
    seed: int = key(0, "Seed; image k of a person depends on it, the person and k only.", low=0)
    device: str = key("auto", "auto, cpu, cuda, cuda:1, ...")
    devices: str = key("1", "Number of devices, each with a process of its own, or auto.")
    precision: str = key("auto", "Arithmetic of the networks.", choices=PRECISIONS)


@dataclass
class EvaluateConfig(Command):
    """stage4_evaluate.py."""

    real: str = key(REQUIRED, "Folder with train/ and val/ or test/ of real pictures, as stage 0 writes it.")
    generated: str = key(REQUIRED, "Folder of images and samples.csv, as stage 3 writes it.")
    output_dir: str = key("evaluation_report", "Folder for metrics.json, pictures and the judges' weights.")
    axes: List[float] = key(
        [], "Lowest and highest velocity shown (m/s) and a picture's length (s); none = Doppler bins."
    )
    colour_map: str = key("jet", "Matplotlib colour map of the pictures.")
    vavae_path: Optional[str] = key(
        None, "Tokenizer to measure in its latents and to check it, or the word compact; none = without."
    )
    inception: Optional[str] = key(None, "Local file of torchvision's inception_v3 weights for its features.")
    dinov2: Optional[str] = key(None, "Local file of timm's vit_small_patch14_dinov2 for its features.")
    verdict: bool = key(False, "Whether generated images help: train classifiers with and without them.")
    verdict_seeds: int = key(5, "Seeds of every classifier of the verdict.", low=2)
    sweep: Optional[str] = key(None, "sweep.json of stage4_evaluate.py sweep, to be in the report.")
    judge_seeds: int = key(3, "Judges trained; the first one names, all give the spread.", low=1)
    seed: int = key(0, "Seed of the first judge and of what is drawn from larger sets.", low=0)
    device: str = key("auto", "Device of the tokenizer and the named networks: auto, cpu, cuda, ...")


@dataclass
class SelectingJudgeConfig(Command):
    """stage4_evaluate.py judge."""

    real: str = key(REQUIRED, "Folder with train/ and val/ of real pictures, as stage 0 writes it.")
    output_dir: str = key("selector", "Folder for judge.safetensors.")
    colour_map: str = key("jet", "Matplotlib colour map of the pictures.")
    seed: int = key(0, "Seed of the judge.", low=0)


@dataclass
class SweepConfig(Command):
    """stage4_evaluate.py sweep."""

    real: str = key(REQUIRED, "Folder with train/ and val/ or test/ of real pictures, as stage 0 writes it.")
    dit_checkpoint: str = key(REQUIRED, "Trained network, as of stage 3.")
    vavae_path: str = key(REQUIRED, "Tokenizer, as of stage 3.")
    output_dir: str = key("guidance_sweep", "Folder for sweep.json, sweep.png and the images.")
    guidance: List[float] = key([1.0, 1.5, 2.0, 3.0, 4.0], "Guidance scales to try.", low=0, high=100)
    samplers: List[str] = key(["heun"], "ODE solvers to try.", choices=SOLVERS)
    num_samples_per_user: int = key(8, "Images per person and setting.", low=1)
    num_steps: int = key(50, "Intervals of the time grid.", low=1, high=100000)
    seed: int = key(0, "Seed of the images and of the judge.", low=0)


@dataclass
class TokenizerConfig(FitConfig):
    """train_tokenizer.py."""

    data_dir: str = key(REQUIRED, "Folder with train/ and val/, as stage 0 writes it.")
    output_dir: str = key("trained_tokenizer", "Folder for tokenizer.safetensors, checkpoints and curves.")
    init_from: Optional[str] = key(None, "Weights to fine-tune; none = a fresh tokenizer of the shape below.")
    ch: int = key(32, "Channels of the first level (a multiple of 32).", low=32, high=4096)
    ch_mult: List[int] = key([1, 2, 4], "Channel multipliers of the levels.")
    num_res_blocks: int = key(1, "Residual blocks a level.", low=1, high=64)
    patch_size: int = key(
        4, "Pixels folded into channels before the first level (1 = the published family).", low=1
    )
    shortcut: bool = key(True, "Linear maps beside the encoder and the decoder: learns in far fewer steps.")
    embed_dim: int = key(32, "Latent channels.", low=1, high=4096)
    geometry: str = key("stretch", "How an image becomes square.", choices=GEOMETRIES)
    l1_weight: float = key(1.0, "Weight of the absolute error.", low=0)
    l2_weight: float = key(1.0, "Weight of the squared error.", low=0)
    kl_weight: float = key(1e-3, "Weight of the divergence from N(0, 1).", low=0)
    crop: Optional[int] = key(
        128, "Train on random squares of this side; none = whole images.", low=32, high=256
    )
    align_weight: float = key(0.1, "Weight of the alignment with a foundation model.", low=0)
    align_model: Optional[str] = key(None, "timm name of the foundation model, e.g. a DINOv2; none = off.")
    align_weights: Optional[str] = key(None, "Local file with that model's weights.")
    batch_size: int = key(8, "Images per device and step.", low=1, high=65536)
    lr: float = key(2e-3, "Peak learning rate.", above=0)
    lr_decay: str = key(
        "cosine", "Learning rate after the warm-up.", choices=("constant", "linear", "cosine")
    )
    beta2: float = key(0.99, "AdamW second-moment decay.", low=0, high=0.99999)


@dataclass
class PipelineConfig(Command):
    """run_complete_pipeline.py."""

    data_dir: Optional[str] = key(None, "Folder with train/ and val/; not needed with --demo.")
    vavae_path: Optional[str] = key(None, "Tokenizer weights, or the word compact; not needed with --demo.")
    imagenet_stats: Optional[str] = key(
        None, "ImageNet's latents_stats.pt for stage 1; none = the one beside the tokenizer's file, if any."
    )
    output_dir: str = key("out", "Folder for everything the stages write.")
    generate_user_ids: List[str] = key(["all"], "People to draw: numbers, ranges, folder names, or all.")
    skip_extraction: bool = key(False, "Use the latents already in output_dir.")
    skip_training: bool = key(False, "Use the checkpoint already in output_dir.")
    skip_generation: bool = key(False, "Stop after training.")
    evaluate: bool = key(False, "Judge the generated images by stage 4 at the end.")
    demo: bool = key(False, "Simulate walkers and run every stage on them, with the tokenizer that ships.")
    quick: bool = key(False, "With demo: at toy size, to see that everything runs.")
    max_hours: Optional[float] = key(
        None, "Stop after so long with everything saved; the same command goes on.", unit="h", above=0
    )
    resume_from: Optional[str] = key(
        None, "Output folder of an earlier session to start from; it is only read."
    )
    # The keys below go to the stages as they are; unset, the stage's own default or the preset decides.
    batch_size: Optional[int] = key(None, "Batch size of stages 1 and 2.", low=1)
    max_epochs: Optional[int] = key(None, "Passes of stage 2 over the latents.", low=1)
    max_steps: Optional[int] = key(None, "Optimizer steps of stage 2.", low=1)
    lr: Optional[float] = key(None, "Peak learning rate of stage 2.", above=0)
    devices: Optional[str] = key(None, "Devices of stages 1, 2 and 3.")
    precision: Optional[str] = key(None, "Arithmetic of every stage.", choices=(None, *PRECISIONS))
    num_samples_per_user: Optional[int] = key(None, "Images per person.", low=1)
    guidance_scale: Optional[float] = key(None, "Classifier-free guidance.", low=0, high=100)
    num_steps: Optional[int] = key(None, "Intervals of the sampling grid.", low=1)
    seed: Optional[int] = key(None, "Seed of training and sampling.", low=0)
    use_checkpoint: bool = key(False, "Activation checkpointing in stage 2: less memory, more time.")


SECTIONS = {
    "split": SplitConfig,
    "doctor": DoctorConfig,
    "setup": SetupConfig,
    "download": DownloadConfig,
    "simulate": SimulateConfig,
    "spectrogram": SpectrogramConfig,
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
