"""Every file of a tree: those that are wanted, and the others by the reason why they are not."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from configs.command_line import say
from configs.errors import UserError
from data.label_files import LABELS
from data.labels import natural_key

# What other systems leave in folders; also everything that begins with a dot (.DS_Store, ._a.npy) or ~$.
HIDDEN = {
    "#recycle",
    "#snapshot",
    "@recycle",
    "found.000",
    "lost.dir",
    "recycler",
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "@eadir",
    "system volume information",
    "lost+found",
}
# Written by this project.
OWN = {
    "axes.csv",
    "truth.csv",
    "split.csv",
    "split.json",
    "cropped.png",
    "run.json",
    "precision.json",
    LABELS,
}
TABLES = {".csv", ".tsv", ".xlsx", ".xls", ".json"}
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
UNSEEN, DEAD, LOOP = "hidden or of the system", "link to nowhere", "link to its own tree"
NO_FILE = "queue, socket or device"  # to open one may wait for ever
TOLD = "by --leave_out"
SHOWN = 3
MOST_PATTERNS = 20


def sorted_out(
    folder: Path, extensions: Sequence[str], leave_out: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Posix paths of the files with `extensions`, and those of all others by reason, naturally sorted."""
    paths: list[str] = []
    others: dict[str, list[str]] = {}
    for path, loop in _walk(folder):
        reason = LOOP if loop else _reason(folder, path, extensions, leave_out)
        if reason is None:
            paths.append(path)
        elif reason:
            others.setdefault(reason, []).append(path)
    return sorted(paths, key=natural_key), {key: sorted(others[key], key=natural_key) for key in others}


def _walk(folder: Path) -> Iterator[tuple[str, bool]]:
    """Every file below `folder`, as posix path, and folders that a link would read for ever (True)."""
    for root, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        here, real = Path(root).relative_to(folder), os.path.realpath(root)
        for name in list(folders):
            target = os.path.realpath(os.path.join(root, name))
            if real == target or real.startswith(target + os.sep):
                folders.remove(name)
                yield (here / name).as_posix(), True
        for name in files:
            yield (here / name).as_posix(), False


def _raise(error: OSError) -> None:
    raise error  # a folder that may not be read is no empty one


def _reason(folder: Path, path: str, extensions: Sequence[str], leave_out: Sequence[str]) -> str | None:
    """Why a file is not read; None: it is read; "": it is the project's own and needs no word."""
    if any(is_hidden(part) for part in path.split("/")):
        return UNSEEN
    if not path.isprintable():  # undecodable bytes count as not printable
        raise UserError(f"{ascii(str(folder / path))}: a name that cannot be written as text; rename it")
    if unwanted(path, leave_out):
        return TOLD
    if path in OWN:
        return ""
    suffix = PurePosixPath(path).suffix.lower()
    exists = (folder / path).exists()
    if suffix not in extensions:
        return (suffix or "without suffix") if exists else DEAD
    return NO_FILE if exists and not (folder / path).is_file() else None


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in `folder` that somebody may mean."""
    return [path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]


def empty_folders(folder: Path, leave_out: Sequence[str]) -> set[str]:
    """Of these the wanted ones that hold no file at all."""
    wanted = [folder / name for name in folders_in(folder) if not unwanted(f"{name}/", leave_out)]
    return {path.name for path in wanted if not any(files for *_, files in os.walk(path, followlinks=True))}


def is_hidden(name: str) -> bool:
    """Whether another system or program keeps such a file or folder for itself."""
    return name.startswith((".", "~$")) or name.casefold() in HIDDEN


def unwanted(path: str, leave_out: Sequence[str]) -> bool:
    """Whether a pattern finds the path, its last name, a folder that it lies in (ID_3), or (ID_3/*) the
    folder itself.
    """
    if not leave_out:
        return False
    names = {path, f"{path}/", *path.split("/"), *map(str, PurePosixPath(path).parents)} - {"", "."}
    return any(fnmatch.fnmatch(name, pattern) for pattern in leave_out for name in names)


def patterns_used(leave_out: Sequence[str], names: Collection[str]) -> frozenset[str]:
    """Those that find one of the `names`."""
    return frozenset(pattern for pattern in leave_out if any(unwanted(name, [pattern]) for name in names))


def tell_idle(leave_out: Sequence[str], used: Collection[str], folder: Path) -> None:
    """Warn of patterns that are not among the `used` ones: whom somebody thinks left out stays."""
    if idle := [pattern for pattern in leave_out if pattern not in used]:
        say(f"warning: --leave_out {' '.join(map(repr, idle))}: finds nothing in {folder}")


def leave_out_flag(people: Iterable[str], paths: Iterable[str]) -> str:
    """The flag that goes on without these people and further files."""
    patterns = [*(f"{name}/*" for name in people), *paths]
    more = f" ... ({len(patterns)} in all)" if len(patterns) > MOST_PATTERNS else ""
    return "--leave_out " + " ".join(f"'{pattern}'" for pattern in patterns[:MOST_PATTERNS]) + more


# Accounts


def tally(left_out: Mapping[str, Sequence[str]]) -> str:
    """The reasons with counts and first names: "3 .txt (a.txt, b.txt, …), 1 hidden"."""
    parts = []
    for reason, paths in left_out.items():
        names = ", ".join(paths[:SHOWN]) + ", …" * (len(paths) > SHOWN)
        parts.append(f"{len(paths)} {reason} ({names})")
    return ", ".join(parts)


def account(read: int, what: str, left_out: Mapping[str, Sequence[str]]) -> str:
    """How every stage ends: "read 24 images, left out 3: 2 .txt (a.txt, b.txt), 1 hidden (._a.png)"."""
    count = sum(map(len, left_out.values()))
    reasons = f": {tally(left_out)}" if count else ""
    return f"read {read} {what}{'s' * (read != 1)}, left out {count}{reasons}"


# Splits


SPLIT_NAMES = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "dev": "val",
}


def split_word(name: str) -> str | None:
    """train, val or test for a folder's name in any case (Train, valid, VALIDATION, test_set), else None."""
    return SPLIT_WORDS.get(re.sub(r"[-_ ]?(set|data|split)$", "", name.casefold()))


def split_folders(folder: Path) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """The folders of train, val and test that are there, and what else lies beside them, by reason.

    UserError: two folders for one part, like val and valid.
    """
    folder_of: dict[str, Path] = {}
    left_out: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural_key(path.name)):
        part, unseen = split_word(path.name), is_hidden(path.name)
        if part and (path.is_dir() or path.is_symlink()):
            if part in folder_of:
                raise UserError(
                    f"{folder}: {folder_of[part].name} and {path.name} are both {part}; rename or remove one"
                )
            folder_of[part] = path
        elif unseen or path.name not in OWN:
            reason = UNSEEN if unseen else "folder of no split" if path.is_dir() else path.suffix or "file"
            left_out.setdefault(reason, []).append(path.name)
    return {name: folder_of[name] for name in SPLIT_NAMES if name in folder_of}, left_out
