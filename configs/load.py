"""From a YAML preset, flags and key=value overrides to checked dataclasses.

Later wins: schema defaults, the preset, flags, overrides.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from omegaconf import MISSING as REQUIRED
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from configs.errors import UserError, first_line
from configs.keys import check_ranges, default_of, take_renamed
from configs.schema import SECTIONS


def load_preset(path: str | Path) -> dict[str, dict[str, Any]]:
    """Sections of a YAML preset as plain mappings; refuses unknown sections and keys by name."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--config {path}: no such file; presets are in the configs folder")
    try:
        content = OmegaConf.to_container(OmegaConf.load(path)) or {}
    except Exception as error:  # the YAML parser has many exception types, all of them about this file
        raise UserError(f"--config {path}: not readable as YAML ({first_line(error, 300)})") from error
    if not isinstance(content, dict):
        raise UserError(
            f"--config {path}: expected sections such as train: and model:, found {type(content).__name__}"
        )
    for section, values in content.items():
        if section not in SECTIONS:
            raise UserError(f"--config {path}: unknown section {section!r}{_suggest(section, SECTIONS)}")
        if not isinstance(values, dict):
            raise UserError(f"--config {path}: section {section} must hold key: value lines")
        for name in values:
            _known_key(section, name, f"--config {path}: ")
    return content  # type: ignore[return-value]  # checked above


def split_override(text: str, main_section: str) -> tuple[str, str, Any]:
    """`lr=1e-4` or `model.depth=6` as (section, key, value); a bare key belongs to `main_section`."""
    name, _, value = text.partition("=")
    section, _, bare = name.rpartition(".")
    section = section or main_section
    if section not in SECTIONS:
        raise UserError(f"{text}: unknown section {section!r}{_suggest(section, SECTIONS)}")
    _known_key(section, bare, f"{text}: ")
    try:
        content: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
        return section, bare, content["value"]
    except (
        YAMLError,
        OmegaConfBaseException,
        RecursionError,
    ) as error:  # `&a [*a]` holds itself: RecursionError
        raise UserError(
            f"{text[:80]}: not readable as a YAML value; put it in quotes, like '\"…\"'"
        ) from error


def resolve(sections: tuple[str, ...], *layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge `layers` (each section → key → value; later wins) into one checked dataclass per section."""
    return {name: _resolve_section(name, [layer.get(name, {}) for layer in layers]) for name in sections}


def _resolve_section(name: str, layers: list[Mapping[str, Any]]) -> Any:
    try:
        merged: Any = OmegaConf.structured(SECTIONS[name])
        for layer in layers:
            merged = OmegaConf.merge(merged, _several_as_list(name, _length_as_given(layer)))
        config: Any = OmegaConf.to_object(merged)
    except MissingMandatoryValue as error:
        missing = [k for k in OmegaConf.missing_keys(merged)]
        raise UserError(f"{', '.join('--' + k for k in sorted(missing))}: required, but not given") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{name}.{error.full_key or '?'}: {first_line(error, 300)}") from error
    except TypeError as error:  # OmegaConf's word, without the key, for a mapping where a list belongs
        given = {key: value for layer in layers for key, value in layer.items() if isinstance(value, Mapping)}
        listed = ", ".join(f"{name}.{key}={value}" for key, value in given.items())
        raise UserError(f"{listed}: expected a list or a value, found a mapping") from error
    config.notes = take_renamed(name, config)
    check_ranges(name, config)
    config.given = frozenset().union(*layers)  # a default and the same value asked for are not the same wish
    return config


def _length_as_given(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer that asks for epochs takes back the steps of the layers below, which would override it."""
    steps = {"max_steps": None} if layer.get("max_epochs") is not None else {}
    return {**steps, **layer}


def _several_as_list(section: str, layer: dict[str, Any]) -> dict[str, Any]:
    """A key that requires one value or several takes one alone, too."""
    several = {
        item.name
        for item in fields(SECTIONS[section])
        if get_origin(get_type_hints(SECTIONS[section])[item.name]) is list and default_of(item) == REQUIRED
    }
    return {
        name: [value] if name in several and isinstance(value, str) else value
        for name, value in layer.items()
    }


def to_yaml(configs: Mapping[str, Any]) -> str:
    """Resolved sections as YAML text that `--config` reads back."""
    return OmegaConf.to_yaml(OmegaConf.create({name: asdict(config) for name, config in configs.items()}))


def _known_key(section: str, name: str, prefix: str) -> None:
    known = [item.name for item in fields(SECTIONS[section])]
    if name not in known:
        raise UserError(f"{prefix}unknown key {section}.{name}{_suggest(name, known)}")


def _suggest(word: object, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"
