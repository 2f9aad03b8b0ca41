"""Keys of trainings: stage 2 and the tokenizer."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, List, Optional

from omegaconf import MISSING as REQUIRED

from configs.keys import key
from configs.schema.shared import GEOMETRIES, PRECISIONS, Command, leave_out_key, margins_key, weights_key

PRESETS = tuple(
    f"LightningDiT-{size}/{patch}" for size in ("S", "B", "L", "XL", "1p0B", "1p6B") for patch in (1, 2)
)
lr_decay_key = partial(
    key,
    sentence="Learning rate after the warm-up.",
    choices=("constant", "linear", "cosine"),
    affects="output",
)
preview_key = partial(key, low=1, affects="nothing", acts_with=("vavae_path", ()))


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
    references: bool = key(
        False,
        "Know people by images of them instead of a row each: stage 3's --references then draws new people.",
        affects="output",
        counts_with="references",
    )
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
        None,
        "Weight of a noise or score loss.",
        choices=(None, "velocity", "likelihood"),
        affects="output",
        acts_with=("prediction", ("noise", "score")),
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
        acts_with=("use_lognorm", ()),
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
    lr_decay: str = lr_decay_key("constant")
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
    logger: List[str] = key(
        ["tensorboard", "csv"],
        "Where figures and previews are logged, too; none alone = nowhere.",
        choices=("tensorboard", "csv", "wandb", "mlflow", "none"),
        affects="nothing",
    )
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
    generate_user_ids: List[str] = key(
        ["all"], "People to draw afterwards; unknown ones are refused before training.", affects="nothing"
    )
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
    init_from: Optional[str] = weights_key(
        None,
        "Weights to start from: best.safetensors or .ckpt of stage 2, a published .pt, or demo, gaits or "
        "references, the models of simulated walkers that ship (with compact latents).",
        affects="output",
    )
    tune: str = key(
        "full",
        "With init_from, what is trained: everything; biases, norms' scales and the class table (DiffFit); "
        "or new people's rows of that table alone, beside the people known, who stay unchanged.",
        choices=("full", "difffit", "person"),
        renamed={"diffit": "difffit"},
        affects="output",
    )
    distil_guidance: Optional[float] = key(
        None,
        "Distil the model of init_from, guided by this scale, into a few-step one, which draws in one to "
        "four evaluations; none = train as usual.",
        low=0,
        high=100,
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
    preview_users: int = preview_key(4, "People shown in a preview.")
    preview_every: int = preview_key(5, "Validations between previews.")
    compile: Optional[bool] = key(
        None,
        "Compile the network's blocks: a minute at the start, steps a tenth (fp32) to a quarter (bf16) "
        "shorter; none = on a CPU, where the run is long enough to repay it.",
        affects="run",
    )


@dataclass
class TokenizerConfig(FitConfig):
    """train_tokenizer.py."""

    data_dir: str = key(
        REQUIRED, "Folder with train/ and val/, as stage 0 writes it.", affects="output", content=True
    )
    output_dir: str = key(
        "trained_tokenizer", "Folder for tokenizer.safetensors, checkpoints and curves.", affects="nothing"
    )
    leave_out: List[str] = leave_out_key(affects="run")
    margins: str = margins_key()
    init_from: Optional[str] = weights_key(
        None, "Weights to fine-tune; none = a fresh tokenizer of the shape below.", affects="output"
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
        0.1, "Weight of the alignment.", low=0, affects="output", acts_with=("align_model", ())
    )
    align_model: Optional[str] = key(
        None, "timm name of the foundation model, e.g. a DINOv2; none = off.", affects="output"
    )
    align_weights: Optional[str] = weights_key(None, "File with that model's weights.", affects="output")
    batch_size: int = key(8, "Images per device and step.", low=1, high=65536, affects="output")
    lr: float = key(2e-3, "Peak learning rate.", above=0, affects="output")
    lr_decay: str = lr_decay_key("cosine")
    beta2: float = key(0.99, "AdamW second-moment decay.", low=0, high=0.99999, affects="output")
