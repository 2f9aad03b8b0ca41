"""Folders of images, and the rule by which any image file becomes RGB."""

import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from configs.errors import UserError
from data.folders import BY_FOLDER, WHITE, FileRecord, Found, Rules, find_files
from data.grey_depth import with_white
from data.labels import LabelTable, listing, natural_key
from data.progress import progress
from data.tree import account, leave_out_flag, split_folders, tell_idle

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif")
ImageRecord = FileRecord
MAX_PIXELS = 2**26  # 8192 x 8192: far above any spectrogram, 200 MB as RGB


@dataclass(frozen=True)
class Splits:
    """A finished split: the label table of train, the images of each part, and what was left out of them."""

    labels: LabelTable
    records: dict[str, list[ImageRecord]]
    left_out: dict[str, list[str]]

    def paths(self) -> list[Path]:
        """Of the images of all parts."""
        return [record.path for part in self.records.values() for record in part]

    def account(self) -> str:
        """What was read, what not, and who is missing in a part."""
        counts = ", ".join(f"{name} {len(part)}" for name, part in self.records.items())
        lines = [
            account(sum(map(len, self.records.values())), "image", self.left_out),
            f"{counts}; {len(self.labels)} people",
        ]
        for name, part in self.records.items():
            absent = set(self.labels.names) - {record.user for record in part}
            if absent:
                lines.append(f"nobody of {listing(sorted(absent, key=natural_key), 5)} in {name}")
        return "; ".join(lines)


@dataclass(frozen=True)
class ImageScan:
    """What reading every file once told: why some cannot be used, and what each holds."""

    bad: dict[str, str]  # relative path -> reason
    digests: dict[str, str]  # relative path -> hexadecimal SHA-256, also of bad files that could be read


# Decoding


def by_user(records: Iterable[ImageRecord]) -> dict[str, list[ImageRecord]]:
    """Each person's records, people and records in the order given."""
    users: dict[str, list[ImageRecord]] = {}
    for record in records:
        users.setdefault(record.user, []).append(record)
    return users


def open_rgb(file: str | os.PathLike | FileRecord) -> Image.Image:
    """Read an image file completely and return it as 8-bit RGB.

    Rules: EXIF rotation applied; palette, grey, CMYK and YCbCr converted by Pillow; alpha (a channel, or one
    transparent colour) composited over black; 16-bit grey (modes I;16*, and I within 0..65535) scaled and
    rounded, so that 65535, or the record's `white`, becomes 255; of 16-bit colour Pillow keeps the high byte.

    FileNotFoundError: no such file. UserError, naming file and reason: empty, truncated, not an image or
    several, more than MAX_PIXELS pixels, or values without a stated scale (32-bit integers, floating point).
    """
    path = file.path if isinstance(file, FileRecord) else Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    try:
        return decoded(path.read_bytes(), file.white if isinstance(file, FileRecord) else WHITE)
    except UserError as error:
        raise UserError(f"{path}: {error}; replace or remove the file") from error


def decoded(data: bytes, white: int) -> Image.Image:
    """The image of a file's bytes, grey of `white` levels; UserError: the reason, without the file's name."""
    if not data:
        raise UserError("empty file (0 bytes)")
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(f"{image.width}x{image.height} is over the limit of {MAX_PIXELS} pixels")
            count = getattr(image, "n_frames", 1)
            if count > 1 and image.format != "MPO":  # a camera's preview is no image of its own
                raise UserError(f"holds {count} images (pages); save each in a file of its own")
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image), white)
    except UnidentifiedImageError as error:
        raise UserError("not an image in a format that Pillow reads") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes (SyntaxError, …)
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"cannot be decoded ({reason})") from error


def _to_rgb(image: Image.Image, white: int) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _grey16_to_rgb(image, white)
    if image.getbands()[-1] in ("A", "a") or "transparency" in image.info:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image, white: int) -> Image.Image:
    values = numpy.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise UserError(f"grey of mode {image.mode} beyond 16 bit has no stated scale: save as 8 or 16 bit")
    # Adding half the divisor before the integer division rounds to nearest.
    grey = (values.astype(numpy.int64).clip(max=white) * 255 + white // 2) // white
    return Image.fromarray(grey.astype(numpy.uint8)).convert("RGB")


# Folders


def find_images(folder: str | os.PathLike, rules: Rules = BY_FOLDER) -> Found:
    """The images of a folder and whose they are, in natural order of person and file name.

    Errors of `data.folders.find_files` and of `with_white`.
    """
    entries = find_files(folder, IMAGE_EXTENSIONS, "image", rules)
    return Found(with_white(entries.records), entries.left_out)


def find_splits(folder: str | os.PathLike, rules: Rules = BY_FOLDER, dead_links: bool = False) -> Splits:
    """Train, and val and test where they are there, of a finished split: train|val|valid|test in any case.

    Val and test need not hold everybody. FileNotFoundError: no such folder. UserError: no train folder,
    people who are not in train, or as `find_images`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; stage0_prepare.py split makes one")
    parts, left_out = split_folders(folder)
    if "train" not in parts:
        raise UserError(
            f"{folder}: no train folder inside; python stage0_prepare.py split --input_dir "
            f"{folder} --output_dir data_split makes train and val"
        )
    records: dict[str, list[ImageRecord]] = {}
    labels: LabelTable | None = None
    used: set[str] = set()
    for name, part in parts.items():
        entries = find_files(part, IMAGE_EXTENSIONS, "image", replace(rules, settled=True), dead_links)
        records[name], labels = entries.records, labels or entries.labels
        used |= entries.patterns_used
        _refuse_unknown(part, entries.labels, labels)
        for reason, paths in entries.left_out.items():
            left_out.setdefault(reason, []).extend(f"{part.name}/{path}" for path in paths)
    assert labels is not None
    tell_idle(rules.leave_out, used, folder)
    known = iter(with_white([record for part in records.values() for record in part]))
    records = {name: [next(known) for _ in part] for name, part in records.items()}
    return Splits(labels, records, left_out)


def _refuse_unknown(folder: Path, people: LabelTable, known: LabelTable) -> None:
    unknown = [user for user in people.names if user not in known.names]
    if unknown:
        raise UserError(
            f"{folder}: {listing(unknown)} not among the known users {listing(known.names)}; "
            "remove these folders, rebuild from a train folder that holds them, or go on without them by "
            f"{leave_out_flag(unknown, ())}"
        )


# Reading everything once


def scan_images(
    records: Sequence[ImageRecord], num_workers: int = 4, description: str = "reading"
) -> ImageScan:
    """Read every file once: decode it fully, as `open_rgb` does, and hash its bytes, in `num_workers`
    threads; a bar with the `description` shows how far it is."""
    bad: dict[str, str] = {}
    digests: dict[str, str] = {}
    with ThreadPoolExecutor(num_workers) as pool:
        results = pool.map(_scan_one, records)
        bar = progress(results, total=len(records), description=description, unit="img")
        for record, (digest, reason) in zip(records, bar, strict=True):
            if digest is not None:
                digests[record.relative] = digest
            if reason is not None:
                bad[record.relative] = reason
    return ImageScan(bad, digests)


def _scan_one(record: ImageRecord) -> tuple[str | None, str | None]:
    try:
        data = record.path.read_bytes()
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    digest = hashlib.sha256(data).hexdigest()
    try:
        decoded(data, record.white)
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
