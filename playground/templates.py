"""HTML of the pages from the templates beside this file, with images inside."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy
from jinja2 import Environment, FileSystemLoader, select_autoescape
from PIL import Image

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=select_autoescape(),
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(template: str, **values: Any) -> str:
    return TEMPLATES.get_template(template).render(**values)


def png(pixels: numpy.ndarray) -> bytes:
    """PNG of (H, W, 3) uint8, without text."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
