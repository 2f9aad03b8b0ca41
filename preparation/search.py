"""A bounded look below some folders for weights, statistics, latents and people's images; a large mount is
never walked whole."""

from __future__ import annotations

import itertools
import os
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError, safe_open

from data.imagenet_stats import FILE as STATISTICS
from data.images import IMAGE_EXTENSIONS
from data.labels import natural_key
from data.tree import SPLIT_NAMES

ENOUGH_IMAGES = 50  # of one person, to know the folder for what it is
ENTRIES_OF_A_FOLDER = 2000
WEIGHTS = (".safetensors", ".ckpt", ".pt")
TOKENIZER_NAME, MODEL_NAME = re.compile("vae|tokenizer", re.I), re.compile(r"dit|^(best|last)\.", re.I)
CHECKPOINTS = ("best.safetensors", "best.ckpt", "last.ckpt")  # of one run, the first that is there


@dataclass
class People:
    """A folder of people's folders: how many have images, how many of these were seen, and one of them."""

    number: int = 0
    images: int = 0
    example: Path = Path()


@dataclass
class Found:
    """Files and folders by kind."""

    tokenizers: list[Path] = field(default_factory=list)
    models: list[Path] = field(default_factory=list)
    statistics: list[Path] = field(default_factory=list)
    latents: list[Path] = field(default_factory=list)
    people: dict[Path, People] = field(default_factory=dict)
    unknown: list[Path] = field(default_factory=list)  # weight files of neither kind
    entries: int = 0
    left_out: list[str] = field(default_factory=list)

    @property
    def splits(self) -> list[Path]:
        """Folders with train/ and others like it."""
        return [path.parent for path in self.people if path.name == SPLIT_NAMES[0]]

    @property
    def raw(self) -> list[Path]:
        """Folders of people that are no part of such a split."""
        return [path for path in self.people if not (path.name in SPLIT_NAMES and path.parent in self.splits)]


def search(roots: list[Path], max_depth: int, max_entries: int) -> Found:
    """Look below `roots`, level by level, at most `max_depth` folders deep and at `max_entries` names in all;
    `left_out` tells what was not looked at.
    """
    inventory, queue = Found(), deque((root, 0) for root in roots)
    while queue:
        if inventory.entries >= max_entries:
            inventory.left_out.append(
                f"{len(queue)} folders, the first {queue[0][0]}, after {max_entries} names"
            )
            break
        folder, depth = queue.popleft()
        files, subfolders = _listed(folder, inventory)
        if depth < max_depth:
            queue.extend((subfolder, depth + 1) for subfolder in subfolders)
        elif subfolders:
            inventory.left_out.append(f"{folder}: what lies deeper than {max_depth} folders")
        _sort_in(folder, files, roots, inventory)
    return inventory


def _listed(folder: Path, inventory: Found) -> tuple[list[Path], list[Path]]:
    """Files and sub-folders, in natural order, of which very many are not read."""
    files: list[Path] = []
    subfolders: list[Path] = []
    images = read = 0
    try:
        with os.scandir(folder) as entries:
            for entry in itertools.islice(entries, ENTRIES_OF_A_FOLDER):
                read += 1
                if entry.name.startswith("."):
                    continue
                (subfolders if entry.is_dir() else files).append(folder / entry.name)
                images += entry.name.lower().endswith(IMAGE_EXTENSIONS)
                if images >= ENOUGH_IMAGES and not subfolders:
                    break
    except OSError as error:
        inventory.left_out.append(f"{folder}: {error.strerror}")
    if read == ENTRIES_OF_A_FOLDER:
        inventory.left_out.append(f"{folder}: what comes after {read} names")
    inventory.entries += read
    return _in_order(files), _in_order(subfolders)


def _in_order(paths: list[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: natural_key(path.name))


def _sort_in(folder: Path, files: list[Path], roots: list[Path], inventory: Found) -> None:
    """Put the files of one folder where they belong; images right in a root are nobody's."""
    images = [path for path in files if path.suffix.lower() in IMAGE_EXTENSIONS]
    if images and folder not in roots:
        seen = inventory.people.get(folder.parent, People())
        inventory.people[folder.parent] = People(seen.number + 1, seen.images + len(images), images[0])
    names = {path.name for path in files}
    run = next((name for name in CHECKPOINTS if name in names), None)
    for path in files:
        if path.suffix not in WEIGHTS or (path.name in CHECKPOINTS and path.name != run):
            continue
        getattr(inventory, _kind(path)).append(path)


def _kind(path: Path) -> str:
    """The list of `Found` that a weight file belongs to: by what it holds where that is read at once."""
    if path.name == STATISTICS:
        return "statistics"
    if path.suffix == ".safetensors":
        return _kind_by_content(path)
    if TOKENIZER_NAME.search(path.name):
        return "tokenizers"
    return "models" if MODEL_NAME.search(path.name) else "unknown"


def _kind_by_content(path: Path) -> str:
    try:
        with safe_open(path, "pt") as file:
            names = set(file.keys())
    except (OSError, SafetensorError):
        return "unknown"
    if any(name.startswith("encoder.") for name in names):
        return "tokenizers"
    if any(name.startswith("x_embedder.") for name in names):
        return "models"
    return "latents" if "latents" in names else "unknown"
