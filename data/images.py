"""Image folders, one sub-folder per user, and the rule by which any image file becomes RGB."""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from configs.errors import UserError
from data.labels import LabelTable, listing, natural_key

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
SPLIT_NAMES = ("train", "val", "test")
MAX_PIXELS = 2**26  # 8192 x 8192: far above any spectrogram, 200 MB as RGB
Progress = Callable[[int, int], None]  # (done, total), called from the calling thread


@dataclass(frozen=True)
class ImageRecord:
    """One image file: where it is, its posix path below the images folder, and the user folder it lies in."""

    path: Path
    relative: str
    user: str


@dataclass(frozen=True)
class ImageScan:
    """What reading every file once told: why some cannot be used, and what each holds."""

    bad: dict[str, str]  # relative path -> reason
    digests: dict[str, str]  # relative path -> hexadecimal SHA-256, also of bad files that could be read


# Decoding


def open_rgb(path: str | os.PathLike) -> Image.Image:
    """Read an image file completely and return it as 8-bit RGB.

    Rules: the first frame of several; EXIF rotation applied; palette, grey, CMYK and YCbCr converted by
    Pillow; alpha (a channel, or one transparent colour) composited over black; 16-bit grey (modes I;16*, and
    I within 0..65535) scaled by 1/257 and rounded, so that 65535 becomes 255; of 16-bit colour Pillow keeps
    the high byte.

    FileNotFoundError: no such file. UserError, naming file and reason: empty, truncated, not an image, more
    than MAX_PIXELS pixels, or values without a stated scale (32-bit integers, floating point).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    try:
        return _decode(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path}: {error}; replace or remove the file") from error


def _decode(data: bytes) -> Image.Image:
    if not data:
        raise UserError("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{image.width}x{image.height} is over the limit of {MAX_PIXELS} pixels")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UserError("not an image in a format that Pillow reads") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes (SyntaxError, …)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot be decoded ({reason})") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey16_to_rgb(image)
    if image.getbands()[-1] in ("A", "a") or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    values = numpy.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise UserError(f"grey of mode {image.mode} beyond 16 bit has no stated scale: save as 8 or 16 bit")
    # 65535 = 255 * 257, so adding half the divisor before the integer division rounds to nearest.
    grey = (values.astype(numpy.int64) + 128) // 257
    return Image.fromarray(grey.astype(numpy.uint8)).convert("RGB")


# Folders


def find_users(folder: str | os.PathLike) -> LabelTable:
    """Label table of the sub-folders of `folder` that hold images.

    Hidden and empty sub-folders and loose files are ignored. FileNotFoundError: no such folder. UserError,
    saying what was found instead: no sub-folder with images, or a sub-folder whose images lie one level
    deeper.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected sub-folders of images, like ID_1/a.jpg")
    subfolders = _subfolders(folder)
    users = [sub.name for sub in subfolders if _image_paths(sub)]
    nested = [sub.name for sub in subfolders
              if sub.name not in users and any(map(_image_paths, _subfolders(sub)))]
    if nested:
        raise UserError(f"{folder}: {_nested_advice(folder, nested)}")
    if not users:
        raise UserError(f"{folder}: no sub-folder holds images, found {_found_instead(folder)}; expected "
                        f"one per user with {listing(IMAGE_EXTENSIONS)} files, like ID_1/a.jpg")
    return LabelTable(tuple(users))


def list_images(folder: str | os.PathLike, labels: LabelTable | None = None) -> list[ImageRecord]:
    """Every user's images, naturally sorted by user, then by file name.

    With `labels`, a user folder that is not in the table is a UserError; a user of the table without a
    folder is not (a validation split need not hold everybody). Other errors as `find_users`.
    """
    folder = Path(folder)
    users = find_users(folder)
    unknown = [user for user in users.names if labels is not None and user not in labels.names]
    if unknown:
        raise UserError(f"{folder}: {listing(unknown)} not among the known users {listing(labels.names)}; "
                        "remove these folders, or rebuild from a train folder that holds them")
    return [ImageRecord(path, f"{user}/{path.name}", user)
            for user in users.names for path in _image_paths(folder / user)]


def _subfolders(folder: Path) -> list[Path]:
    found = [path for path in _entries(folder) if path.is_dir()]
    return sorted(found, key=lambda path: natural_key(path.name))


def _entries(folder: Path) -> list[Path]:
    """What a folder holds and does not hide; UserError for a name that no table could tell."""
    found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in found:
        if not path.name.isprintable():  # undecodable bytes count as not printable
            raise UserError(f"{ascii(str(path))}: a name that cannot be written as text; rename it")
    return found


def _image_paths(folder: Path) -> list[Path]:
    found = [path for path in _entries(folder) if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()]
    return sorted(found, key=lambda path: (natural_key(path.stem), path.name))


def _nested_advice(folder: Path, nested: list[str]) -> str:
    if set(nested) <= set(SPLIT_NAMES):
        return f"holds a finished split ({listing(nested)}); give one of its parts, like {folder / nested[0]}"
    return (f"the images of {listing(nested)} lie one folder too deep; expected them directly in the "
            f"user's folder, like {nested[0]}/a.jpg")


def _found_instead(folder: Path) -> str:
    loose = len(_image_paths(folder))
    if loose:
        return f"{loose} loose image{'s' * (loose > 1)}"
    subfolders = _subfolders(folder)
    kinds = Counter(path.suffix.lower() or "no extension"
                    for sub in [folder, *subfolders] for path in sub.iterdir() if path.is_file())
    if kinds:
        return "other files: " + listing(f"{kind} ({count})" for kind, count in kinds.most_common())
    return f"{len(subfolders)} empty sub-folders" if subfolders else "nothing"


# Reading everything once


def scan_images(records: Sequence[ImageRecord], num_workers: int = 4,
                progress: Progress | None = None) -> ImageScan:
    """Read every file once: decode it fully, as `open_rgb` does, and hash its bytes, in `num_workers`
    threads."""
    bad: dict[str, str] = {}
    digests: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, num_workers)) as pool:
        results = pool.map(_scan_one, records)
        for done, (record, (digest, reason)) in enumerate(zip(records, results), start=1):
            if digest is not None:
                digests[record.relative] = digest
            if reason is not None:
                bad[record.relative] = reason
            if progress is not None:
                progress(done, len(records))
    return ImageScan(bad, digests)


def _scan_one(record: ImageRecord) -> tuple[str | None, str | None]:
    try:
        data = record.path.read_bytes()
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    digest = hashlib.sha256(data).hexdigest()
    try:
        _decode(data)
    except UserError as error:
        return digest, str(error)
    return digest, None


def file_digest(path: str | os.PathLike) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def inputs_digest(records: Sequence[ImageRecord], digests: dict[str, str] | None = None) -> str:
    """SHA-256 over the relative paths and contents of all records, whatever their order.

    `digests` are those of an `ImageScan`; files it does not hold are read.
    """
    known = digests or {}
    contents = {record.relative: known.get(record.relative) or file_digest(record.path) for record in records}
    lines = sorted(f"{relative}\0{digest}\n" for relative, digest in contents.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()
