"""Many images in one .npz as the usual evaluators take them (ADM's, arXiv 2105.05233).

arr_0 (N, H, W, 3) uint8, arr_1 labels (N,) int64; a reference may hold mu (D,) and sigma (D, D) of features.
Images are written and read one by one, so that memory does not grow with their number.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy
from numpy.lib import format as npy

from configs.errors import UserError
from data.atomic import replacing
from data.images import MAX_PIXELS

IMAGES, LABELS, STATISTICS = "arr_0", "arr_1", ("mu", "sigma")
EXPECTED = "expected arr_0 (N, H, W, 3) of 8-bit whole numbers, as stage3_inference.py --npz writes it"


def write_image_array(
    path: str | os.PathLike, images: Iterable[numpy.ndarray], shape: tuple[int, ...], labels: numpy.ndarray
) -> None:
    """Write `images`, each (H, W, 3) uint8 and together of `shape` (N, H, W, 3), and `labels` (N,); atomic.

    The same images give the same bytes.
    """
    header = {"descr": npy.dtype_to_descr(numpy.dtype("u1")), "fortran_order": False, "shape": shape}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        # A ZipInfo's own date is fixed, unlike the one that a bare name would get.
        with archive.open(zipfile.ZipInfo(f"{IMAGES}.npy"), "w", force_zip64=True) as file:
            npy.write_array_header_1_0(file, header)
            written = 0
            for image in images:
                assert image.shape == shape[1:] and image.dtype == numpy.uint8
                written += file.write(image.tobytes())
            assert written == math.prod(shape)
        with archive.open(zipfile.ZipInfo(f"{LABELS}.npy"), "w") as file:
            npy.write_array(file, labels.astype(numpy.int64))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """numpy's archive of `path`; FileNotFoundError, UserError: no such file, or a damaged one."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected an .npz, or a folder of images")
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not an .npz file; {EXPECTED}")
        with numpy.load(path) as archive:
            yield archive
    except UserError:
        raise
    except Exception as error:  # damaged bytes may raise nearly anything in zipfile and numpy
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path}: a damaged .npz file ({reason}); write or fetch it again") from error


def _shape_of(path: Path, file: IO[bytes]) -> tuple[int, int, int, int]:
    """Read the header of arr_0; UserError: no 8-bit images."""
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in read:
        raise UserError(f"{path}: arr_0 is of numpy's format {version}; {EXPECTED}")
    shape, by_columns, dtype = read[version](file)
    if dtype != numpy.uint8 or by_columns or len(shape) != 4 or shape[3] != 3:
        raise UserError(f"{path}: arr_0 is {dtype} of shape {shape}; {EXPECTED}")
    count, height, width, _ = shape
    if not 1 <= height * width <= MAX_PIXELS:
        raise UserError(f"{path}: images of {width}x{height}, expected 1 to {MAX_PIXELS} pixels")
    return count, height, width, 3


def contents_of(path: Path) -> tuple[int | None, bool]:
    """How many images an .npz holds (None: no arr_0), and whether mu and sigma.

    FileNotFoundError: no such file. UserError: damaged, or neither of both.
    """
    with _opened(path) as archive:
        names = archive.files
        has_statistics = set(STATISTICS) <= set(names)
        if IMAGES not in names and not has_statistics:
            raise UserError(f"{path}: holds {', '.join(names) or 'nothing'}; {EXPECTED}, or mu and sigma")
        if IMAGES not in names:
            return None, True
        with archive.zip.open(f"{IMAGES}.npy") as file:
            return _shape_of(path, file)[0], has_statistics


def read_images(path: Path) -> Iterator[numpy.ndarray]:
    """Each image (H, W, 3) uint8 of arr_0 in turn; errors of `contents_of`."""
    with _opened(path) as archive, archive.zip.open(f"{IMAGES}.npy") as file:
        count, *shape = _shape_of(path, file)
        size = math.prod(shape)
        for number in range(1, count + 1):
            data = file.read(size)
            if len(data) < size:
                raise UserError(f"{path}: ends within image {number} of {count}; write or fetch it again")
            yield numpy.frombuffer(data, numpy.uint8).reshape(shape)


def read_labels(path: Path) -> numpy.ndarray:
    """Labels (N,) of arr_1; errors of `contents_of`."""
    with _opened(path) as archive:
        return archive[LABELS]


def read_statistics(path: Path, size: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Mean (size,) and covariance (size, size) of features, float64; UserError: of others."""
    with _opened(path) as archive:
        mean, covariance = (archive[name] for name in STATISTICS)
        if mean.shape != (size,) or covariance.shape != (size, size):
            raise UserError(
                f"{path}: mu {mean.shape} and sigma {covariance.shape}, expected ({size},) and "
                f"({size}, {size}), statistics of Inception's pooled features"
            )
        moments = mean.astype(numpy.float64), covariance.astype(numpy.float64)
    if not all(numpy.isfinite(values).all() for values in moments):
        raise UserError(f"{path}: mu or sigma is not finite; fetch it again")
    return moments
