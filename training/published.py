"""The published weights: where they are, how they are fetched, and how one tells a whole file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.atomic import write_text
from data.images import file_digest
from data.latent_stats import LatentStatistics
from models.weights import load_dit
from tokenizer.weights import load_tokenizer
from training.resources import require_space

HUB = "https://huggingface.co"
TOKENIZER = "vavae-imagenet256-f16d32-dinov2"
DIT = "lightningdit-xl-imagenet256"
SECONDS_TO_ANSWER = 10
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


def endpoint() -> str:
    """The Hub, or its mirror named by the environment variable HF_ENDPOINT."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def fetch(item: Published, folder: Path) -> str:
    """Make `folder` hold a whole `item`: resume or download it, check size and digest, load it; a line on it.

    OSError: hub not reached, or what came is not what it announced; the line says what to put where.
    ValueError: another file has the name already.
    """
    target = folder / item.file
    url = f"{endpoint()}/{item.repository}/resolve/main/{item.file}"
    by_hand = f"or fetch {HUB}/{item.repository}/resolve/main/{item.file} elsewhere and put it at {target}"
    try:
        size, digest = announced(item)
    except Exception as error:  # the client has many kinds, all of them about the network
        if target.is_file():
            return f"{describe(target, item)} (the hub was not reached: {first_line(error)})"
        raise OSError(f"{url}: not reached ({first_line(error)}); set HF_ENDPOINT to a mirror, "
                      f"{by_hand}") from error
    was_there = target.is_file()
    if not was_there:
        require_space(folder, size or int(item.size), item.file)
        download(item, folder, by_hand)
    fault = fault_of(target, size, digest)
    if fault and was_there:
        raise ValueError(f"{target}: not the published file ({fault}); remove it, then the same command "
                         "fetches it")
    if fault:
        target.unlink()
        raise OSError(f"{url}: {fault}; nothing was kept; try again, set HF_ENDPOINT to a mirror, {by_hand}")
    item.load(target)
    if digest:
        write_text(target.with_name(target.name + DIGEST_SUFFIX), f"{digest}  {target.name}\n")
    checked = f"sha256 {digest}" if digest else "no digest announced: size and loading checked"
    how = "was there" if was_there else "downloaded"
    return f"{target}: {how}, {target.stat().st_size:,} bytes, {checked}"


def announced(item: Published) -> tuple[int | None, str | None]:
    """Size and SHA-256 that the hub states for a file; None for what it does not state."""
    # Not at the top: only this command needs the network.
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(item.repository, item.file, endpoint=endpoint())
    found = get_hf_file_metadata(url, timeout=SECONDS_TO_ANSWER)
    tag = (found.etag or "").lower()
    is_digest = len(tag) == 64 and all(letter in "0123456789abcdef" for letter in tag)
    return found.size, tag if is_digest else None


def download(item: Published, folder: Path, by_hand: str) -> None:
    """Fetch a file, going on where an interrupted download stopped."""
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(item.repository, item.file, local_dir=folder, endpoint=endpoint())
    except Exception as error:
        raise OSError(f"{item.file}: the download broke off ({first_line(error)}); the same command goes on "
                      f"from there, {by_hand}") from error


def fault_of(path: Path, size: int | None, digest: str | None) -> str | None:
    """What differs from the announced size or digest, or None."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"{found} bytes instead of {size}"
    if digest is not None and (actual := file_digest(path)) != digest:
        return f"sha256 {actual} instead of {digest}"
    return None


def describe(path: Path, item: Published) -> str:
    """A line on a file that is there: its digest, compared with that of its download where one is recorded.

    ValueError where they differ, or where it does not load.
    """
    actual, record = file_digest(path), path.with_name(path.name + DIGEST_SUFFIX)
    recorded = record.read_text().split(" ")[0] if record.is_file() else None
    if recorded not in (None, actual):
        raise ValueError(f"{path}: sha256 {actual}, but {recorded} was downloaded; remove it and fetch it "
                         "again")
    item.load(path)
    same = " as downloaded" if recorded else ""
    return f"{path}: {path.stat().st_size:,} bytes, loads, sha256 {actual}{same}"


def first_line(error: object) -> str:
    """What an error says first, shortened."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
