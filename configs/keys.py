"""How a key of the schema is declared, the check of its value, and what makes a folder's identity."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, Literal, get_args

from configs.errors import UserError

HUB_PREFIX = "hf://"  # of a weights file on the Hugging Face Hub


def key(
    default: Any,
    sentence: str,
    *,
    affects: Literal["output", "run", "nothing"],
    content: bool = False,
    weights: bool = False,
    unit: str = "",
    choices: tuple = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    positional: bool = False,
    named: bool = False,
    renamed: dict[str, str] | None = None,
    counts_with: str = "",
    acts_with: tuple[str, tuple] = ("", ()),
) -> Any:
    """A dataclass field with its one-sentence description and, where they exist, the values it may take.

    `affects`: "output" changes what is written, so a folder made with another value is refused; "run" may
    change when a folder is gone on with (how much, by which arithmetic, or what is made anew whole), and is
    recorded in the files; "nothing" says where, how fast or what is shown, and stands in no file.
    `content`: the value names a file or folder, which counts by its content, not by its path.
    `weights`: the value names a weights file, which may be one of the Hub (hf://owner/repository/file).
    `positional`: on the command line its values stand without a flag. `named`: they may be NAME=VALUE there,
    which is no override unless NAME is a key. `renamed`: words of older versions that
    are still taken, and what they are called now. `counts_with`: a key of the section, the default of which
    is what folders of before that key were made with; this key counts only beside another value of it.
    `acts_with`: a key of the section and the values of it beside which this one does anything; without
    values, all but none, 0 and off.
    """
    metadata = dict(
        sentence=sentence,
        affects=affects,
        content=content,
        weights=weights,
        unit=unit,
        choices=choices,
        low=low,
        high=high,
        above=above,
        positional=positional,
        named=named,
        renamed=renamed or {},
        counts_with=counts_with,
        acts_with=acts_with,
    )
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def value_name(item: Any, kind: Any) -> str:
    """What stands for the value of a field of type `kind` in a command's help: its choices, or N for a whole
    number, X for another one, else TEXT.
    """
    choices = [str(choice) for choice in item.metadata["choices"] if choice is not None]
    if choices:
        return f"{{{','.join(choices)}}}"
    inner = set(get_args(kind)) - {type(None)} or {kind}
    return "N" if inner == {int} else "X" if inner == {float} else "TEXT"


def range_of(item: Any) -> str:
    """The numbers that a field may take, in words: "at least 1, at most 100"; empty without bounds."""
    rule = item.metadata
    words = {"low": "at least", "above": "more than", "high": "at most"}
    return ", ".join(f"{word} {rule[name]:g}" for name, word in words.items() if rule[name] is not None)


def changed(config: Any, **values: Any) -> Any:
    """A section with other values of some keys, which remembers what was asked for (`given`), as
    `dataclasses.replace` does not.
    """
    other = copy.copy(config)
    for name, value in values.items():
        setattr(other, name, value)
    return other


def take_renamed(section: str, config: Any) -> list[str]:
    """Put the words of today in place of those of older versions; a note on each."""
    notes = []
    for item in fields(config):
        value = getattr(config, item.name)
        now = item.metadata["renamed"].get(value) if isinstance(value, str) else None
        if now:
            setattr(config, item.name, now)
            notes.append(f"note: {section}.{item.name}={value} is called {now} now")
    return notes


def check_ranges(section: str, config: Any) -> None:
    """Refuse values outside what the schema allows; the message names section.key, value and what was
    expected.
    """
    for item in fields(config):
        rule, value = item.metadata, getattr(config, item.name)
        where = f"{section}.{item.name}={value!r}"
        values = value if isinstance(value, list) else [value]
        if rule["choices"] and any(one not in rule["choices"] for one in values):
            raise UserError(f"{where}: expected one of {', '.join(str(c) for c in rule['choices'])}")
        if value == "" or value == [] and default_of(item):
            raise UserError(f"{where}: expected a value, got nothing")
        for number in values:
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                _check_number(where, number, rule)


def _check_number(where: str, number: float, rule: Any) -> None:
    if number != number or number in (float("inf"), float("-inf")):
        raise UserError(f"{where}: expected a finite number")
    if rule["low"] is not None and number < rule["low"]:
        raise UserError(f"{where}: expected at least {rule['low']}")
    if rule["high"] is not None and number > rule["high"]:
        raise UserError(f"{where}: expected at most {rule['high']}")
    if rule["above"] is not None and number <= rule["above"]:
        raise UserError(f"{where}: expected more than {rule['above']}")


def idle_notes(idle: Mapping[str, Sequence[str]]) -> list[str]:
    """A note on each kind of keys that were asked for and do nothing, by the reason."""
    return [f"note: {', '.join(names)}: does nothing here, {why}" for why, names in idle.items() if names]


def idle_keys(config: Any, typed: Collection[str], prefix: str) -> list[str]:
    """A note on each key that was typed, in a command after `prefix`, and does nothing beside the others.

    No refusal: a folder that was begun with such a key is known by it.
    """
    notes: list[str] = []
    for item in fields(config):
        name, values = item.metadata["acts_with"]
        if item.name not in typed or not name or getattr(config, item.name) == default_of(item):
            continue
        beside = getattr(config, name)
        if beside not in values if values else not beside:
            needed = f"{prefix}{name} {' or '.join(map(str, values))}".rstrip()
            notes += idle_notes({f"without {needed}": [f"{prefix}{item.name}"]})
    return notes


def default_of(item: Any) -> Any:
    """Default value of a dataclass field, also where it is made by a factory."""
    return item.default if item.default is not MISSING else item.default_factory()


def passed_on(owner: type, name: str) -> Any:
    """The key `name` of `owner` in a section that hands it on: the same rules; none, or a switch that is off,
    leaves it to the owner.
    """
    item = next(item for item in fields(owner) if item.name == name)
    rule, is_switch = item.metadata, default_of(item) is False
    choices = (None, *rule["choices"]) if rule["choices"] else ()
    sentence = rule["sentence"]
    if not is_switch and "none =" not in sentence:
        sentence = f"{sentence.rstrip('.')}; none = as the stage has it."
    return field(
        default=False if is_switch else None, metadata={**rule, "sentence": sentence, "choices": choices}
    )


def identity(config: Any, **contents: Any) -> dict[str, Any]:
    """What a folder that `config` made is known by: the keys that affect the output.

    `contents` holds, for each key that names a file or folder, what its content is known by (JSON). A key
    without one is a defect (TypeError), and so is one too many. None, as what is not there, stands for a key
    that does not count (`key`'s `counts_with`).
    """
    deciding = [item for item in fields(config) if item.metadata["affects"] == "output"]
    named = {item.name for item in deciding if item.metadata["content"]}
    if named != set(contents):
        raise TypeError(f"{type(config).__name__}: contents of {sorted(contents)}, expected {sorted(named)}")
    values = {item.name: contents.get(item.name, getattr(config, item.name)) for item in deciding}
    usual = {item.name for item in fields(config) if getattr(config, item.name) == default_of(item)}
    silent = {item.name for item in deciding if item.metadata["counts_with"] in usual}
    return values | dict.fromkeys(silent)


def recorded(config: Any, **contents: Any) -> dict[str, Any]:
    """What files record of the settings that made them: the keys that affect anything, with `contents` in
    place of paths. TypeError: contents of no such key, a defect.
    """
    affecting = [item.name for item in fields(config) if item.metadata["affects"] != "nothing"]
    if not contents.keys() <= set(affecting):
        raise TypeError(f"{type(config).__name__}: contents of {sorted(contents)}, expected of {affecting}")
    return {name: contents.get(name, getattr(config, name)) for name in affecting}
