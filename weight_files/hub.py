"""Weight files on the Hugging Face Hub: `hf://owner/repository[@revision][/file]` to a file of this machine.

huggingface_hub fetches them, goes on after broken connections, and keeps them in its cache. HF_ENDPOINT names
a mirror, HF_TOKEN a token, HF_HOME the cache, and HF_HUB_OFFLINE=1 forbids the network.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from configs.command_line import say
from configs.errors import UserError, first_line
from configs.keys import HUB_PREFIX, changed

HUB = "https://huggingface.co"
FORM = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<file>[^@]*[^@/]))?/?"
)
WEIGHTS = (".safetensors", ".ckpt", ".pt")
STATISTICS = "latents_stats.pt"  # beside the published tokenizer: no weights


class HubFile(NamedTuple):
    """A file of a repository at a revision (None: the newest)."""

    repository: str
    file: str
    revision: str | None = None

    @property
    def address(self) -> str:
        """Path of the file below the Hub's or a mirror's address."""
        return f"{self.repository}/resolve/{self.revision or 'main'}/{self.file}"


def endpoint() -> str:
    """The Hub, or its mirror named by the environment variable HF_ENDPOINT."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def local_file(name: str | os.PathLike, look_only: bool = False, tell: Callable[[str], None] = say) -> Path:
    """The file that `name` names: a path itself, of `hf://…` the copy in the cache, fetched where it is not,
    which `tell` is told.

    `look_only` fetches nothing. UserError, in one line: the name is malformed, or the file cannot be had.
    """
    if not (isinstance(name, str) and name.startswith(HUB_PREFIX)):
        return Path(name)
    match = FORM.fullmatch(name)
    if match is None:
        raise UserError(f"{name}: expected hf://owner/repository[@revision][/file]")
    repository, revision = match["repository"], match["revision"]
    with explained(name, look_only):
        cached = look_only or offline()
        file = match["file"] or only_weights(name, listed(repository, revision, cached))
        path = fetched(HubFile(repository, file, revision), local_files_only=cached)
    tell(f"{name}: {described(path)}")
    return path


def described(path: Path) -> str:
    """Path, commit and digest of a file of the cache, whose stored copy is named by the digest that the Hub
    states (SHA-256, or git's SHA-1 of a small file)."""
    commit = re.search(r"snapshots/([0-9a-f]{8,})", path.as_posix())
    stored = path.resolve().name
    known = [f"commit {commit[1][:12]}"] if commit else []
    known += [f"sha256 {stored}"] if re.fullmatch("[0-9a-f]{64}", stored) else []
    return ", ".join([str(path), f"{path.stat().st_size:,} bytes", *known])


def with_local_files(config: Any, tell: Callable[[str], None] = say) -> Any:
    """`config`, a section, with the local file in place of every `hf://` name among its weight files; `tell`
    as of `local_file`.

    A dry run fetches nothing. UserError as of `local_file`, after the flag.
    """

    def path_of(flag: str, name: Any) -> Any:
        if not (isinstance(name, str) and name.startswith(HUB_PREFIX)):
            return name
        try:
            return str(local_file(name, config.dry_run, tell))
        except UserError as error:
            raise UserError(f"--{flag} {error}") from error

    local: dict[str, Any] = {}
    for item in (item for item in fields(config) if item.metadata["weights"]):
        value = getattr(config, item.name)
        several = isinstance(value, list)
        local[item.name] = (
            [path_of(item.name, name) for name in value] if several else path_of(item.name, value)
        )
    return changed(config, **local)


def fetched(wanted: HubFile, **options: Any) -> Path:
    """A file by huggingface_hub, in its cache or in the `local_dir` of `options`; the library's errors."""
    from huggingface_hub import hf_hub_download  # here, because most runs name no file of the Hub
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    repository, file, revision = wanted
    return Path(hf_hub_download(repository, file, revision=revision, endpoint=endpoint(), **options))


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    return HF_HUB_OFFLINE


def listed(repository: str, revision: str | None, cached: bool) -> list[str]:
    """Names of a repository's files, on the Hub or in the cache."""
    from huggingface_hub import HfApi, snapshot_download

    if not cached:
        return HfApi(endpoint=endpoint()).list_repo_files(repository, revision=revision)
    folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def only_weights(name: str, files: Iterable[str]) -> str:
    """The one .safetensors of a repository, or without one its one .pt or .ckpt; UserError: none, several."""
    weights = [file for file in files if file.endswith(WEIGHTS) and Path(file).name != STATISTICS]
    weights = [file for file in weights if file.endswith(WEIGHTS[0])] or weights
    if len(weights) != 1:
        names = ", ".join(sorted(weights)[:8]) or "none"
        raise UserError(f"{name}: expected one weights file, found {names}; name one, as {name}/file")
    return weights[0]


@contextmanager
def explained(name: str, look_only: bool = False, instead: str = "name a local file") -> Iterator[None]:
    """Turn what huggingface_hub raises about `name` into a UserError of one line with the ways out."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the library hands on what its client raises, of another package by version
        raise UserError(f"{name}: {reason_of(error, look_only)}, or {instead}") from error


def reason_of(error: Exception, look_only: bool) -> str:
    """What is wrong and what to do, by the kind of error."""
    from huggingface_hub import utils

    if offline():
        return "not on this machine, and HF_HUB_OFFLINE forbids the network; unset it"
    if look_only:
        return "not on this machine, and a dry run fetches nothing; run once without --dry_run"
    if isinstance(error, utils.GatedRepoError):
        return "needs consent; accept the conditions on its page and set HF_TOKEN"
    if isinstance(error, utils.RepositoryNotFoundError):
        return "no such repository, or a private one; check the name, set HF_TOKEN"
    if isinstance(error, utils.RevisionNotFoundError):
        return "no such revision; leave it out for the newest"
    if isinstance(error, utils.HFValidationError):
        return f"{first_line(error)}; check the name"
    is_local = isinstance(error, utils.LocalEntryNotFoundError)  # not in the cache, for want of a network
    if isinstance(error, utils.EntryNotFoundError) and not is_local:
        return "no such file in the repository; check the name"
    reason = first_line(error.__cause__ if is_local and error.__cause__ else error)
    return f"not reached, or broken off ({reason}); try again, set HF_ENDPOINT to a mirror"
