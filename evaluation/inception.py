"""The Inception network of FID (arXiv 1706.08500) as torch-fidelity has it, with local weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from configs.errors import UserError
from weight_files.reading import WeightFile, list_names

NAME, POOLED, LOGITS = "inception-v3-compat", "2048", "logits_unbiased"  # in torch-fidelity's words
WIDTH = 2048
FILE = "weights-inception-2015-12-05-6726825d.pth"
WAY_OUT = f"download {FILE} from the release v0.2.0 of toshas/torch-fidelity on GitHub and give its path"


def load_inception(path: str | None, device: torch.device, layers: Sequence[str], flag: str) -> Any:
    """torch-fidelity's feature extractor: uint8 (B, 3, H, W) of any size to a tuple of (B, D), one a layer.

    FileNotFoundError, UserError: no file of its weights. ModuleNotFoundError: no torch-fidelity.
    """
    if not path:
        raise UserError(f"{flag}: requires a file of Inception's weights; {WAY_OUT}")
    file = WeightFile(Path(path), "file of torch-fidelity's Inception", WAY_OUT, flag)
    # Read here, because torch-fidelity would run the code that a file may hold.
    state, checked = file.state(), io.BytesIO()
    # Not at the top: nothing else needs it.
    from torch_fidelity import FeatureExtractorInceptionV3

    torch.save(state, checked)
    checked.seek(0)
    try:
        network = FeatureExtractorInceptionV3(NAME, list(layers), feature_extractor_weights_path=checked)
    except RuntimeError as error:
        raise file.refusal(
            f"holds other weights than torch-fidelity's Inception: {list_names(state)}"
        ) from error
    return network.to(device)
