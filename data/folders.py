"""Whose file is it? Files of a tree, told apart by folders, by their names, or by a table.

Nothing is left out in silence: what a tree holds beside the files that are read is kept by reason, and a
person of whom no file can be read is an error until `leave_out` says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from configs.errors import UserError
from data.label_files import LABELS, apply_name, check_groups, person_folder, read_labels
from data.labels import LabelTable, listing, natural_key
from data.people import loose_advice, refuse_no_people, refuse_one_person_twice
from data.tree import (
    ARCHIVES,
    LOOP,
    TOLD,
    UNSEEN,
    empty_folders,
    folders_in,
    leave_out_flag,
    patterns_used,
    sorted_out,
    split_word,
    tally,
    tell_idle,
    unwanted,
)

LOOSE, UNLISTED, GONE = "in no person's folder", "not in the table", "in the table but not there"
PASSED_OVER = "table passed over for --name"
WHITE = 65535  # in 16-bit grey files that use all bits
Whose = dict[str, tuple[str, tuple[tuple[str, str], ...]]]  # path → user and groups, as FileRecord has them


@dataclass(frozen=True)
class FileRecord:
    """One file: where it is, its posix path below the folder that was read, and the person whose it is.

    `user` is the name that the label table holds: the person, with a condition person_condition. `groups` are
    the pairs (name, value) that a table or the files' names told: person, condition, recording, day, ...
    `white` is the value that is white where the file holds 16-bit grey.
    """

    path: Path
    relative: str
    user: str
    groups: tuple[tuple[str, str], ...] = ()
    white: int = WHITE

    @property
    def name(self) -> str:
        """File name in a folder of this person's alone: folders below the person's go into it."""
        first, *rest = PurePosixPath(self.relative).parts
        return "_".join(rest if rest and first == self.user else [first, *rest])


@dataclass(frozen=True)
class Rules:
    """How people are told apart: `name`, a regular expression of groups searched in a file's path below the
    folder; `labels`, a table; neither: a folder per person. `leave_out`: patterns (ID_3/*, *.mat) of paths,
    of names, or of person/name that are not wanted. `settled`: folders are people whatever they are
    called, as in a finished split.
    """

    name: str | None = None
    labels: str | None = None
    leave_out: Sequence[str] = ()
    settled: bool = False


@dataclass(frozen=True)
class Found:
    """Files of a tree in natural order of person and path, and by reason the paths of all others."""

    records: list[FileRecord]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    patterns_used: frozenset[str] = frozenset()  # of `Rules.leave_out`, those that found something

    @property
    def labels(self) -> LabelTable:
        return LabelTable(tuple({record.user for record in self.records}))


BY_FOLDER = Rules()


def find_files(
    folder: str | os.PathLike,
    extensions: Sequence[str],
    what: str,
    rules: Rules = BY_FOLDER,
    dead_links: bool = False,
) -> Found:
    """The files of `folder` with one of the `extensions`, and whose they are; `what` ("image") names them.

    Links are followed. A link that leads nowhere is an error, with `dead_links` a file like others.
    FileNotFoundError: no such folder. UserError, one line: nobody found, a person of whom nothing can be
    read, files that `rules` do not tell, folders whose meaning is not clear.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; expected sub-folders of {what}s, like ID_1/a{extensions[0]}"
        )
    beside = folder / LABELS
    labels = Path(rules.labels) if rules.labels else beside if beside.is_file() and not rules.name else None
    paths, left_out = sorted_out(folder, extensions, rules.leave_out)
    paths = [path for path in paths if not (labels and labels.exists() and labels.samefile(folder / path))]
    if not dead_links:
        _refuse_dead(paths, folder)
    if not paths:
        empty = sorted(empty_folders(folder, rules.leave_out), key=natural_key)
        holdings = left_out | ({"empty folder" + "s" * (len(empty) > 1): empty} if empty else {})
        raise UserError(
            f"{folder}: holds no {what}, found {tally(holdings) or 'nothing'}; expected "
            f"{listing(extensions)} files in a folder per person, like ID_1/a{extensions[0]}"
        )
    others = [path for reason in left_out.keys() - {TOLD, LOOP, UNSEEN} for path in left_out[reason]]
    _refuse_archives(folder, others)
    if labels or rules.name:
        whose, missing, absent = _by_rules(paths, others, labels, rules)
        gone = [file for file in absent if not unwanted(file, rules.leave_out)]
        left_out |= {GONE: gone} if gone else {}
        left_out |= {PASSED_OVER: [LABELS]} if beside.is_file() and not labels else {}
    else:
        (whose, missing), absent = _by_tree(folder, paths, others, what, rules.settled), []
        missing |= empty_folders(folder, rules.leave_out)
    records, names = _kept(folder, paths, whose, rules.leave_out, UNLISTED if labels else LOOSE, left_out)
    missing -= {record.user for record in records}
    names += [*left_out.get(TOLD, []), *missing, *folders_in(folder), *absent]
    used = patterns_used(rules.leave_out, names)
    if not rules.settled:
        tell_idle(rules.leave_out, used, folder)
    _refuse_missing({name for name in missing if not unwanted(f"{name}/", rules.leave_out)}, folder, what)
    refuse_one_person_twice({record.user for record in records})
    records.sort(key=lambda record: (natural_key(record.user), natural_key(_stem(record.relative))))
    _refuse_one_name(records)
    return Found(records, left_out, used)


def _kept(
    folder: Path,
    paths: Sequence[str],
    whose: Whose,
    leave_out: Sequence[str],
    unknown: str,
    left_out: dict[str, list[str]],
) -> tuple[list[FileRecord], list[str]]:
    """Records of the paths that are somebody's and wanted; the others go to `left_out`, and their names
    beside a person's are the second.
    """
    records, names = [], []
    for path in paths:
        record = FileRecord(folder / path, path, *whose.get(path, ("",)))
        people = {record.user, dict(record.groups).get("person", record.user)}
        of_people = [f"{person}/{record.name}" for person in people]
        if record.user and not any(unwanted(name, leave_out) for name in of_people):
            records.append(record)
        else:
            left_out.setdefault(TOLD if record.user else unknown, []).append(path)
            names += of_people
    return records, names


def _refuse_dead(paths: Sequence[str], folder: Path) -> None:
    dead = [path for path in paths if not (folder / path).exists()]
    if dead:
        tops = {path: path.partition("/")[0] for path in paths if "/" in path}
        alive = {tops.get(path) for path in set(paths) - set(dead)}
        lost = dict.fromkeys(tops[path] for path in dead if path in tops and tops[path] not in alive)
        rest = [path for path in dead if tops.get(path) not in lost]
        raise UserError(
            f"{folder}: {len(dead)} links lead nowhere: {listing(dead, 5)} (to "
            f"{os.readlink(folder / dead[0])}); bring back what they point to, or go on without "
            f"them by {leave_out_flag(lost, rest)}"
        )


def _refuse_archives(folder: Path, others: Sequence[str]) -> None:
    """Archives beside the people's folders may hold further people."""
    packed = [path for path in others if "/" not in path and PurePosixPath(path).suffix.lower() in ARCHIVES]
    packed.sort(key=natural_key)
    if packed:
        raise UserError(
            f"{folder}: {listing(packed, 3)}: archives are not read, and may hold further people; unpack "
            f"them, or go on without them by {leave_out_flag((), packed)}"
        )


def _refuse_missing(missing: set[str], folder: Path, what: str) -> None:
    if missing:
        names = sorted(missing, key=natural_key)
        raise UserError(
            f"{folder}: no {what} of {listing(names)} can be read, though files or folders of "
            "theirs are there; save them in a format that is read, or go on without these by "
            f"{leave_out_flag(names, ())}"
        )


def _refuse_one_name(records: Sequence[FileRecord]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for record in records:
        key = record.user, record.name
        if key in seen:
            raise UserError(
                f"{record.relative} and {seen[key]}: would get one name, {record.name}; rename "
                f"one, or --leave_out '{record.relative}'"
            )
        seen[key] = record.relative


def _stem(relative: str) -> str:
    return relative.rpartition(".")[0] or relative


# Whose


def _by_rules(
    paths: Sequence[str], others: Sequence[str], labels: Path | None, rules: Rules
) -> tuple[Whose, set[str], list[str]]:
    """User and groups of each path, first by the table, then by its name; the people of whom only the table,
    the names of unread files or folders that the table does not know tell; files of the table that are not
    there.
    """
    stated, unmatched = read_labels(labels, paths) if labels else ({}, [])
    missing, name = [row for row in unmatched if not unwanted(row["file"], rules.leave_out)], rules.name
    if name:
        rest = [path for path in paths if path not in stated]
        named = apply_name([*rest, *others], name)
        irregular = [path for path in rest if path not in named]
        if irregular:
            raise UserError(
                f"--name {name!r}: does not tell whose {listing(irregular, 8)} are; name them "
                "by --labels table.csv (file, person, ...), change the expression, or go on "
                f"without them by --leave_out '{irregular[0]}'"
            )
        stated |= {path: named[path] for path in rest}
        missing += [named[path] for path in others if path in named]
    if not stated:
        raise UserError(
            f"{labels}: names none of the {len(paths)} files, like {paths[0]}; expected such "
            "paths in its column file"
        )
    check_groups(stated)
    whose = {path: (person_folder(groups), tuple(groups.items())) for path, groups in stated.items()}
    people = {groups["person"] for groups in stated.values()}
    tops = {path.partition("/")[0] for path in stated}
    unknown = {path.partition("/")[0] for path in paths if "/" in path and path not in stated} - tops
    return (
        whose,
        {groups["person"] for groups in missing} - people | unknown,
        [row["file"] for row in unmatched],
    )


def _by_tree(
    folder: Path, paths: Sequence[str], others: Sequence[str], what: str, settled: bool
) -> tuple[Whose, set[str]]:
    """The first folder of each path is the person, where the tree leaves no doubt of it."""
    depths: dict[str, set[int]] = {}
    for path in paths:
        top, *rest = path.split("/")
        if rest:
            depths.setdefault(top, set()).add(len(rest))
    if not depths:
        raise UserError(
            f"{folder}: no sub-folder holds {what}s, found {len(paths)} loose {what}"
            f"{'s' * (len(paths) > 1)}; expected {loose_advice(folder, paths, others)}"
        )
    _refuse_split(folder, set(depths), what)
    deep = [top for top, levels in depths.items() if levels != {1}]
    direct = [top for top, levels in depths.items() if 1 in levels]
    if deep and not (direct and len({re.sub("[0-9]+", "", top) for top in depths}) == 1):
        example = next(path for path in paths if path.startswith(f"{deep[0]}/") and path.count("/") > 1)
        raise UserError(
            f"{folder}: which folder of {example} is the person? For the first: --name "
            "'^(?P<person>[^/]+)/'; for the second: "
            "--name '^(?P<condition>[^/]+)/(?P<person>[^/]+)/'"
        )
    if not settled:
        refuse_no_people(folder, paths, others, what)
    nothing: tuple[tuple[str, str], ...] = ()
    whose = {path: (path.partition("/")[0], nothing) for path in paths if "/" in path}
    return whose, {path.partition("/")[0] for path in others if "/" in path or not (folder / path).exists()}


def _refuse_split(folder: Path, tops: set[str], what: str) -> None:
    if all(split_word(top) for top in tops):
        as_it_is = f", which stage 1 reads as it is: python stage1_extract_features.py --data_dir {folder}"
        raise UserError(
            f"{folder}: holds a finished split ({listing(sorted(tops))}){as_it_is * (what == 'image')}; "
            f"to read {what}s of all its parts: --name '^[^/]+/(?P<person>[^/]+)/'"
        )
