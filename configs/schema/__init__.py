"""Every key a user can set: its type, default, unit, one sentence, and what it affects (`configs.keys.key`).

A section is a dataclass; a YAML preset holds one mapping per section. The flags of a stage are the keys of
its own section, so a key is described once, here.
"""

from dataclasses import dataclass
from typing import List, Optional

from configs.keys import key, passed_on
from configs.schema.evaluation import (
    EvaluateConfig,
    FidConfig,
    SelectingJudgeConfig,
    StudyConfig,
    SweepConfig,
)
from configs.schema.latents import ExtractConfig
from configs.schema.playground import PlaygroundConfig
from configs.schema.preparation import (
    GAITS,
    PUBLIC_SETS,
    DoctorConfig,
    DownloadConfig,
    DrawingConfig,
    ImportConfig,
    SetupConfig,
    SimulateConfig,
    SpectrogramConfig,
    SplitConfig,
)
from configs.schema.sampling import SOLVERS, SampleConfig
from configs.schema.shared import PRECISIONS, Command, axes_key
from configs.schema.training import FitConfig, ModelConfig, TokenizerConfig, TrainConfig, TransportConfig


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
    select: Optional[bool] = key(
        None,
        "Keep only drawn images that a judge of half of the real ones accepts (docs/draw.md); none = in the "
        "demo of full size.",
        affects="nothing",
    )
    evaluate: Optional[bool] = key(
        None,
        "Judge the generated images by stage 4 at the end; none = in a demo that generates some.",
        affects="nothing",
    )
    demo: bool = key(
        False,
        "Simulate walkers and run every stage on them, with the tokenizer that ships.",
        affects="nothing",
    )
    quick: bool = key(False, "With demo: at toy size, to see that everything runs.", affects="nothing")
    # The keys below go to the stages as they are.
    axes: List[float] = axes_key(affects="nothing")
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
    "study": StudyConfig,
    "fid": FidConfig,
    "tokenizer": TokenizerConfig,
    "playground": PlaygroundConfig,
    "pipeline": PipelineConfig,
}

# The sections that each command reads which others start.
STAGES = {
    "stage0_prepare.py simulate": ("simulate",),
    "stage0_prepare.py split": ("split",),
    "stage1_extract_features.py": ("extract",),
    "stage2_train_dit.py": ("train", "model", "transport"),
    "stage3_inference.py": ("sample",),
    "stage4_evaluate.py judge": ("judge",),
    "stage4_evaluate.py": ("evaluate",),
}

# Keys of other sections that a command line of the section has a flag for, too: what people need first.
FURTHER_FLAGS = {"train": (("model", "use_checkpoint"),)}
