"""How every script parses its command line and ends: one-line refusals, exit status 2, no traceback."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn, Optional, get_origin, get_type_hints

from omegaconf import MISSING as REQUIRED

from configs.errors import UserError
from configs.keys import HUB_PREFIX, default_of, idle_keys, range_of, value_name
from configs.load import load_preset, resolve, split_override
from configs.schema import FURTHER_FLAGS, SECTIONS, STAGES

PROJECT = Path(__file__).resolve().parents[1]
OVERRIDE = re.compile(r"^[A-Za-z_][\w.]*=")
SWITCHES = (bool, Optional[bool])  # types of keys whose flags take no value


class OneLineParser(argparse.ArgumentParser):
    """argparse whose errors follow the project's form."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(2)


def parse(
    main_section: str,
    sections: tuple[str, ...],
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    handed_on: Collection[str] = (),
) -> dict[str, Any]:
    """Read flags of `main_section`, `--config` and key=value overrides; return a dataclass per section.

    Overrides may be of `handed_on` sections, too, which other commands read.
    """
    parser = build_parser(main_section, prog, description)
    flags, overrides = take_overrides(main_section, argv)
    arguments = vars(parser.parse_args(flags))
    preset = load_preset(arguments.pop("config")) if "config" in arguments else {}
    arguments.pop("config", None), arguments.pop("debug", None)
    given: dict[str, dict[str, Any]] = {}
    for text in overrides:
        section, name, value = split_override(text, main_section)
        if section not in (*sections, *handed_on):
            raise UserError(f"{text}: {prog} does not read the section {section}; leave it out")
        given.setdefault(section, {})[name] = value
    flags_given: dict[str, dict[str, Any]] = {}
    for name, value in arguments.items():
        flags_given.setdefault(section_of(main_section, name), {})[name] = value
    configs = resolve(sections, preset, flags_given, given)
    for note in [note for config in configs.values() for note in config.notes]:
        say(note)
    for section, config in configs.items():  # of a preset, which serves several commands, nothing is asked
        typed = {*flags_given.get(section, {}), *given.get(section, {})}
        for note in idle_keys(config, typed, "--" if section == main_section else f"{section}."):
            say(note)
    return configs


def flags_of(section: str) -> list[tuple[str, Any]]:
    """Every key with a flag on a command line of `section`, its own first, with the section it belongs to."""
    keys_of_section = [(section, item) for item in fields(SECTIONS[section])]
    return keys_of_section + [
        (other, item)
        for other, name in FURTHER_FLAGS.get(section, ())
        for item in fields(SECTIONS[other])
        if item.name == name
    ]


def section_of(main_section: str, name: str) -> str:
    """The section of the key behind a flag."""
    return next(section for section, item in flags_of(main_section) if item.name == name)


def take_overrides(section: str, argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """`argv` without its key=value overrides, and these; the value of a flag (--recordings 'walk=(.)') is
    none of them, nor is NAME=VALUE after the flag of a key that takes such ones (--generated a=x b=y).
    """
    keys = {item.name for item in fields(SECTIONS[section])}
    named = {f"--{item.name}" for _, item in flags_of(section) if item.metadata["named"]}
    booleans = [item.name for owner, item in flags_of(section) if kind_of(owner, item) in SWITCHES]
    switches = {"--debug"} | {f"--{no}{name}" for name in booleans for no in ("", "no-")}
    rest: list[str] = []
    overrides: list[str] = []
    flag = ""
    for before, token in zip(["", *argv], argv):
        flag = token if token.startswith("--") else flag
        is_value = before.startswith("--") and "=" not in before and before not in switches
        name = token.partition("=")[0]
        is_value |= flag in named and "." not in name and name not in keys
        (overrides if OVERRIDE.match(token) and not is_value else rest).append(token)
    return rest, overrides


def kind_of(section: str, item: Any) -> Any:
    """The type of a key."""
    return get_type_hints(SECTIONS[section])[item.name]


def preset_of(argv: Sequence[str]) -> str | None:
    """The value of `--config` in a command line, for scripts that pass it on."""
    parser = OneLineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config")
    return parser.parse_known_args(list(argv))[0].config


def asked_of(main_section: str, argv: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the preset and the overrides of a command line of `main_section` say of every section."""
    path = preset_of(argv)
    preset = load_preset(path) if path else {}
    asked = {section: {**preset.get(section, {})} for section in SECTIONS}
    for text in take_overrides(main_section, argv)[1]:
        section, name, value = split_override(text, main_section)
        asked[section][name] = value
    return asked


def passed_to_stages(
    section: str, argv: Sequence[str], preset: Path | None = None, dry_run: bool = False
) -> list[str]:
    """What a command line of `section` hands on to every stage that it starts: the preset that it names, else
    `preset`; switches; overrides of other sections.
    """
    named = preset_of(argv) or preset
    overrides = [token for token in take_overrides(section, argv)[1] if "." in token.partition("=")[0]]
    switches = [f"--{name}" for name, on in (("debug", "--debug" in argv), ("dry_run", dry_run)) if on]
    return [*(["--config", str(named)] if named else []), *switches, *overrides]


def read_by(command: Sequence[str], further: Sequence[str]) -> list[str]:
    """Of what `passed_to_stages` hands on, the part that a stage reads, which is a script with or without a
    command of it.
    """
    sections = STAGES[" ".join(command)]
    foreign = [f"{section}." for section in SECTIONS if section not in sections]
    return [token for token in further if not (OVERRIDE.match(token) and token.startswith((*foreign,)))]


def unread_overrides(commands: Sequence[Sequence[str]], further: Sequence[str]) -> list[str]:
    """The overrides among `further` that none of the `commands` reads."""
    read = {token for command in commands for token in read_by(command, further)}
    return [token for token in further if OVERRIDE.match(token) and token not in read]


def build_parser(section: str, prog: str, description: str) -> OneLineParser:
    """One flag per key of `section`; values stay text here, the schema's types convert and check them."""
    parser = OneLineParser(
        prog=prog,
        description=description,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="Further settings: key=value or section.key=value; every key is in configs/schema.",
    )
    for owner, item in flags_of(section):
        kind, rule, default = kind_of(owner, item), item.metadata, default_of(item)
        unit = f" [{rule['unit']}]" if rule["unit"] else ""
        words = " ".join(map(str, default)) if isinstance(default, list) else default
        shown = "required" if default == REQUIRED else f"default: {'none' if words in ('', None) else words}"
        hub = f"or {HUB_PREFIX}owner/repository/file" if rule["weights"] else ""
        limits = ", ".join(filter(None, [hub, range_of(item), shown]))
        text = f"{rule['sentence']}{unit} ({limits})".replace("%", "%%")
        value = value_name(item, kind)
        if rule["positional"]:
            parser.add_argument(item.name, nargs="*", help=text)
        elif kind in SWITCHES:
            parser.add_argument(f"--{item.name}", action=argparse.BooleanOptionalAction, help=text)
        elif get_origin(kind) is list:
            parser.add_argument(f"--{item.name}", nargs="+", metavar=value, help=text)
        else:
            parser.add_argument(f"--{item.name}", metavar=value, help=text)
    parser.add_argument("--config", metavar="YAML", help="Preset, e.g. configs/microdoppler_s.yaml.")
    parser.add_argument("--debug", action="store_true", help="Show the traceback of an error.")
    return parser


def run_script(main: Callable[[list[str]], None]) -> None:
    """Run `main(argv)` and end the process: 0, or 2 with one line on stderr for a user's mistake, or 130."""
    argv = sys.argv[1:]
    try:
        main(argv)
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        sys.exit(130)
    except (UserError, OSError, ModuleNotFoundError) as error:
        if "--debug" in argv:
            raise
        print(f"error: {' '.join(describe(error).split())}", file=sys.stderr)
        sys.stderr.flush()
        sys.exit(2)


def describe(error: BaseException) -> str:
    """The message, with the file's name where the operating system gave one, and the way out where a package
    is missing.
    """
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed: pip install -r requirements.txt"
    return str(error)


def is_main_process() -> bool:
    """False in the further processes that Lightning's launcher, torchrun or SLURM start."""
    named = ("RANK",), ("LOCAL_RANK", "NODE_RANK"), ("SLURM_PROCID",)  # as Lightning looks for its rank
    names = next((names for names in named if names[0] in os.environ), ())
    return all(int(os.environ.get(name, "0")) == 0 for name in names)


def say(text: str) -> None:
    """Print once, whatever the number of processes."""
    if is_main_process():
        print(text, flush=True)
