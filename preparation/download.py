"""The published weights: where they are, how they are fetched, and how one tells a whole file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from configs.errors import UserError
from data.atomic import write_text
from data.images import file_digest
from data.latent_stats import LatentStatistics
from data.progress import progress
from models.weights import load_dit
from runtime.disk import require_space
from tokenizer.vavae import load_tokenizer

HUB = "https://huggingface.co"
TOKENIZER = "vavae-imagenet256-f16d32-dinov2"
DIT = "lightningdit-xl-imagenet256"
SECONDS_TO_ANSWER = 20
TRIES = 5
BLOCK = 2**20
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
    UserError: another file has the name already.
    """
    target = folder / item.file
    path = f"{item.repository}/resolve/main/{item.file}"
    url = f"{endpoint()}/{path}"
    by_hand = f"set HF_ENDPOINT to a mirror, or fetch {HUB}/{path} elsewhere and put it at {target}"
    try:
        size, digest = announced(url)
    except (OSError, HTTPException, ValueError) as error:
        if target.is_file():
            return f"{describe(target, item)} (the hub was not reached: {first_line(error)})"
        raise OSError(f"{url}: not reached ({first_line(error)}); {by_hand}") from error
    if target.is_file():
        fault = fault_of(target, size, digest)
        if fault:
            raise UserError(
                f"{target}: not the published file ({fault}); remove it, then the same command fetches it"
            )
        return record(target, item, digest, "was there")
    require_space(folder, size or int(item.size), item.file)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{item.file}.{(digest or 'unknown')[:16]}.part"
    download(url, part, size, by_hand)
    fault = fault_of(part, size, digest)
    if fault:
        part.unlink()
        raise OSError(f"{url}: {fault}; nothing was kept; try again, {by_hand}")
    os.replace(part, target)
    return record(target, item, digest, "downloaded")


def record(target: Path, item: Published, digest: str | None, how: str) -> str:
    """Load a checked file and note its digest beside it; the line on it."""
    item.load(target)
    if digest:
        write_text(target.with_name(target.name + DIGEST_SUFFIX), f"{digest}  {target.name}\n")
    checked = f"sha256 {digest}" if digest else "no digest announced: size and loading checked"
    return f"{target}: {how}, {target.stat().st_size:,} bytes, {checked}"


class _FirstAnswer(HTTPRedirectHandler):
    """Keeps what the hub states of a file before it sends the client on to its storage."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        self.headers = {**{name.lower(): value for name, value in headers.items()}, **self.headers}
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def announced(url: str) -> tuple[int | None, str | None]:
    """Size and SHA-256 that the hub states for a file; None for what it does not state."""
    first = _FirstAnswer()
    with build_opener(first).open(url, timeout=SECONDS_TO_ANSWER) as response:  # the body is left unread
        size = first.headers.get("x-linked-size") or response.headers.get("Content-Length")
        tag = (
            first.headers.get("x-linked-etag")
            or response.headers.get("X-Linked-Etag")
            or response.headers.get("ETag")
            or ""
        )
    tag = tag.removeprefix("W/").strip('"').lower()
    return int(size) if size else None, tag if re.fullmatch("[0-9a-f]{64}", tag) else None


def download(url: str, part: Path, size: int | None, by_hand: str) -> None:
    """Fetch `url` into `part`, going on where an earlier try, of this process or another, stopped."""
    reason: object = "the server stops early"
    for _ in range(TRIES):
        start = part.stat().st_size if part.is_file() else 0
        if size is not None and start >= size:
            return
        try:
            copy(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), part, size)
            if size is None:
                return
        except (OSError, HTTPException) as error:
            reason = error
    if size is None or not part.is_file() or part.stat().st_size < size:
        raise OSError(
            f"{url}: broke off ({first_line(reason)}); the same command goes on from there; or {by_hand}"
        ) from None


def copy(request: Request, part: Path, size: int | None) -> None:
    """The answer's body, appended to `part` or, from a server that knows no ranges, in place of it."""
    with urlopen(request, timeout=SECONDS_TO_ANSWER) as response:
        goes_on = response.status == 206
        with (
            open(part, "ab" if goes_on else "wb") as file,
            progress(total=size, description=part.name.split(".")[1], unit="B") as bar,
        ):
            bar.update(file.tell())
            while block := response.read(BLOCK):
                bar.update(file.write(block))


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


def first_line(error: object) -> str:
    """What an error says first, shortened."""
    error = getattr(error, "reason", error)
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
