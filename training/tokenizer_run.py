"""The parts of a tokenizer's training: its files, its arithmetic."""

from __future__ import annotations

import copy
from pathlib import Path

from configs.schema import TokenizerConfig
from runtime.devices import tokenizer_candidates
from tokenizer.alignment import FoundationTeacher
from tokenizer.autoencoder import AutoencoderKL
from training.batches import TensorDataModule
from training.run_files import RunFiles, validation_interval
from training.tokenizer_module import TokenizerModule
from training.trial_steps import Trial, training_arithmetic

VALIDATIONS_IN_A_RUN = 20


def files_of(config: TokenizerConfig, total_steps: int, steps_per_pass: int) -> RunFiles:
    """What validates, logs and saves the run, `validate_every` steps or 20 times in all."""
    return RunFiles(
        Path(config.output_dir),
        "tokenizer.safetensors",
        validation_interval(config, total_steps, VALIDATIONS_IN_A_RUN),
        total_steps,
        steps_per_pass,
        "val_psnr",
        higher_is_better=True,
    )


def arithmetic(
    config: TokenizerConfig,
    net: AutoencoderKL,
    teacher: FoundationTeacher | None,
    data: TensorDataModule,
    steps: int,
) -> str:
    """The precision of the `steps` that are left, for `auto` as tried on a copy of the network."""

    def trial() -> Trial:
        no_val = data.tensors["images"][:0]
        return TokenizerModule(copy.deepcopy(net), config, steps, no_val, teacher), data.trial_batch()

    steps *= config.accumulate
    return training_arithmetic(Path(config.output_dir), config, steps, trial, tokenizer_candidates)
