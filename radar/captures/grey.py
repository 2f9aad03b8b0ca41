"""Grey images of power in dB, as exported without axes: velocity upwards, time to the right."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image

from configs.errors import UserError
from radar.captures.contract import Contents, Format, Hints

AXES = ("velocities", "times")
SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MAGIC = (b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"BM")


def load_grey(path: Path, hints: Hints) -> Contents:
    """Values as they are stored, uint8 or uint16, the lowest velocity first."""
    with Image.open(path) as image:
        wide = image.mode == "I" or image.mode.startswith("I;16")
        values = numpy.asarray(image if wide or image.mode == "L" else image.convert("RGB"))
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise UserError(
                "an image in colours, expected grey in dB; images in colours need no drawing: "
                "stage0_prepare.py split takes them as they are"
            )
        values = values[..., 0]
    return Contents({"grey": values[::-1].astype(numpy.uint16 if wide else numpy.uint8)}, axes=AXES)


FORMATS = (Format("grey image", SUFFIXES, lambda path, head: head.startswith(MAGIC), load_grey),)
