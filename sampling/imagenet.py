"""ImageNet's thousand classes on the command line: by number, or by torchvision's name for them."""

from __future__ import annotations

from collections.abc import Sequence

from data.labels import LabelTable

DEMO_CLASSES = ("975", "3", "207", "387", "388", "88", "979", "279")
NUM_CLASSES = 1000


def class_numbers(labels: LabelTable, tokens: Sequence[str]) -> list[str]:
    """`tokens` with class names as numbers, where `labels` is ImageNet's table; elsewhere as they are."""
    if labels.names != tuple(map(str, range(NUM_CLASSES))):
        return list(tokens)
    # Not at the top: only these weights need it.
    from torchvision.models import ResNet18_Weights

    names = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    known = {name: str(number) for number, name in enumerate(names)}  # a cardigan is worn, a Cardigan walked
    return [known.get(token, token) for token in tokens]
