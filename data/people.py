"""Do folders' names stand for people? Names of activities, days or containers do not, nor does a folder whose
files are of several people; two names of one person are no two people.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from configs.errors import UserError
from data.labels import listing, natural_key
from data.tree import TABLES

# Stems, of which WORD makes walk, walks, walked, walking.
ACTIVITIES = (
    "walk run jog creep strid strol limp march hop jump crawl climb step turn stand sit squat kneel bend "
    "stoop lie lay lying fall lift pick carry push pull throw kick punch box hit drink eat cough sneez "
    "convulsion wav clap swing stretch danc sleep still idl rest gestur activity activit action gait "
    "motion class empty background normal abnormal fast slow hurri and up down on off to the in"
).split()
TIMES = (
    "day date week month session sess trial take rec recording measurement meas exp experiment scen room "
    "sit location morning noon afternoon evening monday tuesday wednesday thursday friday saturday sunday "
    "january february march april may june july august september october november december data dataset "
    "set"
).split()
WORD = re.compile(rf"({'|'.join((*ACTIVITIES, *TIMES))})(e|es|ed|ied|y|s|[a-z]?ing)?")
DATE = re.compile(r"(19|20)?[0-9]{2}[-_. ]?(0[1-9]|1[0-2])[-_. ]?([0-2][0-9]|3[01])")
CONTAINER = re.compile(
    r"(all|data|dataset|raw|files?|images?|imgs?|images?|pics?|figures?|spectrograms?|recordings?|captures?|"
    r"micro[-_]?doppler|doppler|radar|radar[-_]?data|png|jpe?g|mat|npy|csv|input|output)[-_ ]?[0-9]*"
)
PERSON = re.compile(
    r"(?<![a-z])(p|ped|sub|subj|subject|person|user|id|volunteer|participant)[-_ ]?0*([0-9]+)", re.IGNORECASE
)
FIRST_FOLDER = "'^(?P<person>[^/]+)/'"


def refuse_no_people(folder: Path, paths: Sequence[str], others: Sequence[str], what: str) -> None:
    """UserError where the first folders of `paths` stand for something else than people, or hold several;
    `others` are files that are not read.
    """
    tops = sorted({path.partition("/")[0] for path in paths if "/" in path}, key=natural_key)
    if len(tops) == 1:
        _refuse_container(folder, tops[0], paths, others)
    if all(_no_person(top) for top in tops):
        raise UserError(
            f"{folder}: {listing(tops, 5)}: folders of activities, days or the like, not of people; "
            f"{_ways(folder, paths, others)}; if they are people: --name {FIRST_FOLDER}"
        )
    for top in tops:
        inside = [path for path in paths if path.startswith(f"{top}/")]
        named = {_of_person(path) for path in inside} - {None}
        if len(named) > 1 and not PERSON.search(top):
            raise UserError(
                f"{folder}: the names of the {what}s in {top} tell of several people "
                f"({listing(sorted(map(str, named), key=natural_key), 4)}); {_ways(folder, inside, others)}; "
                f"if the folder is the person: --name {FIRST_FOLDER}"
            )


def _refuse_container(folder: Path, top: str, paths: Sequence[str], others: Sequence[str]) -> None:
    """A single folder named like a container, beside a table or around one, does not tell the people."""
    tables = _tables(others)
    if tables and PurePosixPath(tables[0]).parent.as_posix() in (".", top):
        raise UserError(
            f"{folder}: {tables[0]} lies {'in' if '/' in tables[0] else 'beside'} the only folder, {top}; "
            f"{_by_table(folder, tables[0])} where it tells the people, else --leave_out '{tables[0]}'"
        )
    if CONTAINER.fullmatch(top.casefold()):
        raise UserError(
            f"{folder}: the only folder, {top}, is named like no person; {_ways(folder, paths, others)}; "
            f"if all are of one person: --name {FIRST_FOLDER}"
        )


def loose_advice(folder: Path, paths: Sequence[str], others: Sequence[str]) -> str:
    """Ways to tell whose files without a person's folder are."""
    return f"a folder per person, like ID_1/{paths[0]}, or {_ways(folder, paths, others)}"


def refuse_one_person_twice(people: Iterable[str]) -> None:
    """UserError for names that differ in capital letters or leading zeros only."""
    for one, other in pairwise(sorted(people, key=natural_key)):
        if natural_key(one)[0] == natural_key(other)[0]:
            raise UserError(
                f"{one} and {other}: one person or two? the names differ in capital letters or zeros only; "
                "rename one, or name the people by --labels table.csv (file, person, ...)"
            )


def _no_person(name: str) -> bool:
    words = re.findall(r"[a-z]+", name.casefold())
    return bool(words) and all(WORD.fullmatch(word) for word in words) or bool(DATE.fullmatch(name))


def _of_person(path: str) -> str | None:
    """P1 of P01_rec3.npy, the same for p1."""
    match = PERSON.search(PurePosixPath(path).stem)
    return f"{match[1].casefold()}{int(match[2])}" if match else None


def _ways(folder: Path, paths: Sequence[str], others: Sequence[str]) -> str:
    pattern, value = example_name(next((path for path in paths if "/" in path), paths[0]))
    tables = _tables(others)
    table = _by_table(folder, tables[0]) if tables else "give a table of file, person by --labels T.csv"
    by_name = f"tell whose a file is by its name, like --name '{pattern}' where {value} is the person"
    return f"{by_name}, or {table}"


def _tables(others: Collection[str]) -> list[str]:
    tables = [path for path in others if PurePosixPath(path).suffix.lower() in TABLES]
    return sorted(tables, key=lambda path: (path.count("/"), natural_key(path)))


def _by_table(folder: Path, table: str) -> str:
    is_text = PurePosixPath(table).suffix.lower() in (".csv", ".tsv")
    return f"give --labels {folder / table}" if is_text else f"save {table} as CSV for --labels, file, person"


def example_name(path: str) -> tuple[str, str]:
    """A regular expression for --name that finds a likely person in the file's name, and whom it finds."""
    stem, folder = PurePosixPath(path).stem, path.rpartition("/")[0]
    group = "day" if DATE.fullmatch(folder) else "condition"
    top = (
        "^"
        if not folder
        else "/"
        if "/" in folder or CONTAINER.fullmatch(folder)
        else f"^(?P<{group}>[^/]+)/"
    )
    match = PERSON.search(stem) or re.search(r"(?<![A-Za-z])([A-Za-z]{1,8})([0-9]+)", stem)
    if match:
        word = match[0][: len(match[0]) - len(re.split(r"[^0-9]", match[0])[-1])]
        return f"{top}[^/]*?(?P<person>{re.escape(word)}[0-9]+)", match[0]
    fields = re.split("[-_]", stem)
    skip = len(fields) > 1 and bool(DATE.fullmatch(fields[0]) or fields[0] == folder)
    return f"{top}{'[^-_/]+[-_]' * skip}(?P<person>[^-_/.]+)", fields[skip]
