"""What an importer of a public data set says of it, and how its recordings are found by their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import UserError
from data.folders import FileRecord, Found
from data.label_files import check_groups, person_folder
from data.labels import listing, natural_key
from data.tree import TOLD, patterns_used, sorted_out, tally, tell_idle, unwanted
from preparation.spectrograms import Reader, read_file

Finder = Callable[[Path, Sequence[str]], Found]


@dataclass(frozen=True)
class PublicSet:
    """A data set in the layout in which its authors publish it.

    title, citation, licence   what the user is told
    find      its recordings below a folder and whose they are, but for what patterns leave out
    settings  keys of `spectrogram` that its publication states; what the user gives goes before them
    asked     keys that neither its files nor its publication state, which the user must give
    read      a recording; `whole`: a ready matrix that is one image
    """

    title: str
    citation: str
    licence: str
    find: Finder
    settings: Mapping[str, Any] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    read: Reader = read_file
    whole: bool = False


def by_name(
    suffix: str, pattern: str, example: str, groups_of: Callable[[Mapping[str, str]], dict[str, str]]
) -> Finder:
    """Finds files with `suffix` by `pattern`, searched in their path from the folder's own name on, in any
    case; `groups_of` what it finds are person, condition, recording and others.

    UserError: no such file, or one that the pattern does not tell; `example` shows what was expected.
    """

    def find(source: Path, leave_out: Sequence[str]) -> Found:
        paths, left_out = files_with(suffix, source, example, leave_out)
        matches = {
            path: re.search(pattern, f"{source.resolve().name}/{path}", re.IGNORECASE) for path in paths
        }
        unknown = [path for path, match in matches.items() if match is None]
        if unknown:
            raise UserError(
                f"{source}: {listing(unknown, 5)}: no name of this set; expected one like {example}; rename "
                f"them, or go on without them by --leave_out '{unknown[0]}'"
            )
        named = {path: groups_of(match.groupdict()) for path, match in matches.items() if match}
        return records_of(source, named, leave_out, left_out)

    return find


def files_with(
    suffix: str, source: Path, example: str, leave_out: Sequence[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Paths with `suffix` below the folder, and what else is there by reason."""
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder; expected files like {example} below it")
    paths, left_out = sorted_out(source, (suffix,), leave_out)
    if not paths:
        raise UserError(
            f"{source}: holds no file like {example}, found {tally(left_out) or 'nothing'}; give the folder "
            "that the set was unpacked to"
        )
    return paths, left_out


def records_of(
    source: Path,
    named: Mapping[str, Mapping[str, str]],
    leave_out: Sequence[str],
    left_out: dict[str, list[str]],
    files: Mapping[str, str] | None = None,
) -> Found:
    """The recordings `named` by path, with their groups, in natural order of person and path; the paths are
    those of files unless `files` names these.
    """
    check_groups(named)
    records, names_out = [], list(left_out.get(TOLD, []))
    for path, groups in named.items():
        file = files[path] if files else path
        record = FileRecord(source / file, path, person_folder(groups), tuple(groups.items()))
        if any(unwanted(name, leave_out) for name in (path, f"{record.user}/{record.name}")):
            left_out.setdefault(TOLD, []).append(path)
            names_out += [path, f"{record.user}/{record.name}"]
        else:
            records.append(record)
    tell_idle(leave_out, patterns_used(leave_out, names_out), source)
    if not records:
        raise UserError(f"{source}: --leave_out {' '.join(leave_out)} leaves nothing; give fewer patterns")
    records.sort(key=lambda record: (natural_key(record.user), natural_key(record.relative)))
    return Found(records, left_out)
