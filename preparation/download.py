"""The published weights: where they are, how they are fetched, and how one tells a whole file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import UserError, first_line
from data.atomic import write_text
from data.images import file_digest
from data.latent_stats import LatentStatistics
from models.weights import load_dit
from runtime.disk import require_space
from tokenizer.vavae import load_tokenizer
from weight_files.hub import HUB, HubFile, endpoint, explained, fetched

TOKENIZER = "vavae-imagenet256-f16d32-dinov2"
DIT = "lightningdit-xl-imagenet256"
DIGEST_SUFFIX = ".sha256"  # beside a verified file, in the form of sha256sum


@dataclass(frozen=True)
class Published:
    """A file of the Hub; `size` is about its bytes, `load` refuses what is not such a file."""

    repository: str
    file: str
    size: float
    load: Callable[[Path], Any]


PUBLISHED = {
    "vavae": Published(f"hustvl/{TOKENIZER}", f"{TOKENIZER}.pt", 2.15e9, load_tokenizer),
    "lightningdit-xl-800ep": Published(f"hustvl/{DIT}-800ep", f"{DIT}-800ep.pt", 2.7e9, load_dit),
    "lightningdit-xl-64ep": Published(f"hustvl/{DIT}-64ep", f"{DIT}-64ep.pt", 2.7e9, load_dit),
    "latents-stats": Published(f"hustvl/{TOKENIZER}", "latents_stats.pt", 2e3, LatentStatistics.load),
}


def fetch(item: Published, folder: Path) -> str:
    """Make `folder` hold a whole `item`: resume or download it, check size and digest, load it; a line on it.

    UserError: another file has the name, the hub is not reached, or what came is not what it announced.
    """
    wanted, target = HubFile(item.repository, item.file), folder / item.file
    url = f"{endpoint()}/{wanted.address}"
    by_hand = f"fetch {HUB}/{wanted.address} elsewhere and put it at {target}"
    try:
        with explained(url, instead=by_hand):
            size, digest = announced(url)
    except UserError as error:
        if not target.is_file():
            raise
        return f"{describe(target, item)} (not compared with the hub's: {first_line(error.__cause__)})"
    if target.is_file():
        fault = fault_of(target, size, digest)
        if fault:
            raise UserError(
                f"{target}: not the published file ({fault}); remove it, then the same command fetches it"
            )
        return record(target, item, digest, "was there")
    require_space(folder, size or int(item.size), item.file)
    with explained(url, instead=by_hand):
        fetched(wanted, local_dir=folder)
    fault = fault_of(target, size, digest)
    if fault:
        target.unlink()
        raise UserError(
            f"{url}: {fault}; nothing was kept; try again, set HF_ENDPOINT to a mirror, or {by_hand}"
        )
    return record(target, item, digest, "downloaded")


def record(target: Path, item: Published, digest: str | None, how: str) -> str:
    """Load a checked file and note its digest beside it; the line on it."""
    item.load(target)
    if digest:
        write_text(target.with_name(target.name + DIGEST_SUFFIX), f"{digest}  {target.name}\n")
    checked = f"sha256 {digest}" if digest else "no digest announced: size and loading checked"
    return f"{target}: {how}, {target.stat().st_size:,} bytes, {checked}"


def announced(url: str) -> tuple[int | None, str | None]:
    """Size and SHA-256 that the hub states for a file, None where it does not; the library's errors."""
    from huggingface_hub import get_hf_file_metadata  # here, as in weight_files.hub

    stated = get_hf_file_metadata(url)
    return stated.size, stated.etag if re.fullmatch("[0-9a-f]{64}", stated.etag or "") else None


def fault_of(path: Path, size: int | None, digest: str | None) -> str | None:
    """What differs from the announced size or digest, or None."""
    bytes_held = path.stat().st_size
    if size is not None and bytes_held != size:
        return f"{bytes_held} bytes instead of {size}"
    if digest is not None and (actual := file_digest(path)) != digest:
        return f"sha256 {actual} instead of {digest}"
    return None


def describe(path: Path, item: Published) -> str:
    """A line on a file that is there: its digest, compared with that of its download where one is recorded.

    UserError where they differ, or where it does not load.
    """
    actual, note = file_digest(path), path.with_name(path.name + DIGEST_SUFFIX)
    recorded = note.read_text().split(" ")[0] if note.is_file() else None
    if recorded not in (None, actual):
        raise UserError(
            f"{path}: sha256 {actual}, but {recorded} was downloaded; remove it and fetch it again"
        )
    item.load(path)
    same = " as downloaded" if recorded else ""
    return f"{path}: {path.stat().st_size:,} bytes, loads, sha256 {actual}{same}"
