"""Sheets to look at: grids of images with a name before each row."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy
from PIL import Image, ImageDraw, ImageFont

from data.atomic import replacing

GAP = 4
NAME_WIDTH = 110


def grid(rows: Sequence[Sequence[numpy.ndarray]], names: Sequence[str], cell: int = 256) -> Image.Image:
    """One sheet of rows of uint8 RGB images (H, W, 3), each shown `cell` pixels wide and high, `names` at
    the left."""
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (NAME_WIDTH + columns * (cell + GAP), len(rows) * (cell + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    for y, (row, name) in enumerate(zip(rows, names, strict=True)):
        top = GAP + y * (cell + GAP)
        draw.multiline_text((GAP, top + cell // 2 - 6), name, fill="black", font=font)
        for x, image in enumerate(row):
            tile = Image.fromarray(numpy.asarray(image)).resize((cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(tile, (NAME_WIDTH + x * (cell + GAP), top))
    return sheet


def save_png(image: Image.Image, path: str | os.PathLike, text: dict[str, str] | None = None) -> None:
    """Write a PNG atomically, with `text` as its own metadata (tEXt/iTXt)."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, value in (text or {}).items():
        info.add_text(name, value)
    with replacing(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)


def image_uri(image: Image.Image, kind: str = "png", **options: Any) -> str:
    """An image as `data_uri` of a file of this kind without text; `options` are Pillow's."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return data_uri(stream.getvalue(), f"image/{kind}")


def data_uri(content: bytes, kind: str) -> str:
    """The content of a file of a MIME type as an address that stands in a page itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
