"""ImageNet's thousand classes: by number or by torchvision's name on the command line, by both in files."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from configs.errors import UserError
from data.labels import LabelTable

DEMO_CLASSES = ("975", "3", "207", "387", "388", "88", "979", "279")
NUMBERS = tuple(map(str, range(1000)))  # the label table of published weights


@functools.cache
def names() -> tuple[str, ...]:
    """The classes in their order; UserError without torchvision."""
    try:
        # Not at the top: only these weights need it.
        from torchvision.models import ResNet18_Weights
    except ImportError as error:
        raise UserError(
            "ImageNet's classes: torchvision, which names them, is absent: pip install "
            "torchvision of the release that fits torch"
        ) from error
    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def label_indices(labels: LabelTable, tokens: Sequence[str]) -> list[int]:
    """What `labels.resolve` gives, errors included; where `labels` is ImageNet's table, names of classes
    are known, too.
    """
    if labels.names != NUMBERS:
        return labels.resolve(tokens)
    known = dict(zip(names(), NUMBERS))  # a cardigan is worn, a Cardigan walked
    return labels.resolve([known.get(token, token) for token in tokens])


def class_name(labels: LabelTable, label: int) -> str | None:
    """Golden retriever for 207 where `labels` is ImageNet's table; None elsewhere."""
    return names()[label] if labels.names == NUMBERS else None


def class_in_a_file_name(labels: LabelTable, label: int) -> str | None:
    """class207_golden_retriever, or None as above."""
    name = class_name(labels, label)
    return name and f"class{label:03d}_{re.sub('[^a-z0-9]+', '_', name.lower()).strip('_')}"
