"""What all commands have, and keys that several of them have alike."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from omegaconf import MISSING as REQUIRED

from configs.keys import key

PRECISIONS = ("auto", "32", "bf16-mixed", "16-mixed")
GEOMETRIES = ("stretch", "pad", "crop")


@dataclass(kw_only=True)
class Command:
    """What every command has; `given` names the keys that were asked for, even at their default."""

    given: ClassVar[frozenset[str]] = frozenset()
    dry_run: bool = key(
        False,
        "Say what would be read, written and done, refuse what the real run would, and write nothing.",
        affects="nothing",
    )


# Whose files are, and which are read
name_key = partial(
    key,
    None,
    "Regular expression of paths below the folder that tells whose a file is: (?P<person>…), and "
    "perhaps (?P<condition>…), (?P<recording>…), (?P<day>…) or any other group.",
    affects="output",
)
labels_key = partial(
    key,
    None,
    "Table of file, person, and perhaps condition, recording, day, ...; none = labels.csv where it "
    "lies in the folder, else a folder per person.",
    affects="output",
)
leave_out_key = partial(
    key,
    [],
    "Patterns of folders, paths or names (ID_3, *.mat) not to be read; people left out so are not missed.",
)
real_key = partial(
    key,
    REQUIRED,
    "Folder with train/ and val/ or test/ of real images, as stage 0 writes it.",
    affects="output",
    content=True,
)
weights_key = partial(key, content=True, weights=True)

# What images show
axes_key = partial(
    key,
    [],
    "Lowest and highest velocity shown (m/s), an image's length (s), and perhaps the range of its colours "
    "(dB); none = as axes.csv, the latents or the model say.",
)
margins_key = partial(
    key,
    "refuse",
    "Figures with margins (axes, ticks, colour bar): refuse them, or keep = take them as they are.",
    choices=("refuse", "keep"),
    affects="nothing",
)
colour_map_key = partial(
    key, "auto", "Matplotlib colour map of the images, or parula; auto = as the real ones have it."
)

# The machine
devices_key = partial(key, "1", "Number of devices, each with its process, or auto.", affects="nothing")
precision_key = partial(
    key, "auto", "Arithmetic; auto tries what is fastest.", choices=PRECISIONS, affects="run"
)
