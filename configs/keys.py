"""How a key of the schema is declared, and the check of its value."""

from __future__ import annotations

from dataclasses import MISSING, field, fields
from typing import Any, get_args

from configs.errors import UserError


def key(
    default: Any,
    sentence: str,
    *,
    unit: str = "",
    choices: tuple = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    positional: bool = False,
) -> Any:
    """A dataclass field with its one-sentence description and, where they exist, the values it may take.

    `positional`: on the command line its values stand without a flag.
    """
    metadata = dict(sentence=sentence, unit=unit, choices=choices, low=low, high=high, above=above,
                    positional=positional)
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
        if value == "":
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


def default_of(item: Any) -> Any:
    """Default value of a dataclass field, also where it is made by a factory."""
    return item.default if item.default is not MISSING else item.default_factory()
