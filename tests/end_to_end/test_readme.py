"""Every command line in README.md and docs/ parses with its script's own parser; every file named exists."""

import importlib
import re
import shlex
from pathlib import Path

import pytest

import stage4_evaluate
from configs.command_line import parse

PROJECT = Path(__file__).resolve().parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
SECTIONS = {
    "stage1_extract_features.py": ("extract",),
    "stage2_train_dit.py": ("train", "model", "transport"),
    "stage3_inference.py": ("sample",),
    "stage4_evaluate.py": ("evaluate",),
    "train_tokenizer.py": ("tokenizer",),
    "run_complete_pipeline.py": ("pipeline",),
}
INTERPRETER = re.compile(r"(.*/)?python3?$")
ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "2>&1", "<"}


def commands_in(text: str) -> list[list[str]]:
    """Arguments after `python` of every command line in fenced code."""
    commands = []
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if not re.match(r"\s*(\$ |\w+=\S* )*(\S*/)?python3? ", line):
                continue
            tokens = shlex.split(line, comments=True)
            start = next(i for i, token in enumerate(tokens) if INTERPRETER.match(token)) + 1
            end = next((i for i, token in enumerate(tokens) if token in ENDS), len(tokens))
            commands.append(tokens[start:end])
    return commands


def check(command: list[str]) -> None:
    """Parse as the script would; SystemExit or ValueError for what it would refuse."""
    script, arguments = command[0], command[1:]
    if command[:2] == ["-m", "playground"]:
        parse("playground", ("playground",), command[2:], prog="playground", description="")
    if script == "-m":
        if (PROJECT / arguments[0].split(".")[0]).is_dir():
            importlib.import_module(arguments[0])
        return
    assert (PROJECT / script).is_file(), f"{script}: no such script"
    if not arguments or {"-h", "--help"} & set(arguments) or not (script in SECTIONS or "stage0" in script):
        return
    sections = SECTIONS.get(script)
    if script == "stage4_evaluate.py" and arguments[0] in stage4_evaluate.COMMANDS:
        sections, arguments = (arguments[0],), arguments[1:]
    if sections is None:
        from stage0_prepare import COMMANDS

        assert arguments[0] in COMMANDS, f"{script} {arguments[0]}: no such command"
        sections, arguments = (arguments[0],), arguments[1:]
    on = stage4_evaluate.MAKERS if sections[0] == "study" else ()
    parse(sections[0], sections, arguments, prog=script, description="", handed_on=on)


COMMANDS = [(page.name, command) for page in PAGES for command in commands_in(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{p}-{' '.join(c)[:60]}" for p, c in COMMANDS])
def test_command_lines_parse(page, command, monkeypatch):
    monkeypatch.chdir(PROJECT)  # presets are named from the project's folder
    check(command)


def test_readme_shows_the_commands_that_users_type():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    scripts = {"stage0_prepare.py", *SECTIONS}
    shown = {command[0] for command in commands_in(text)}
    assert scripts - {"train_tokenizer.py"} <= shown and "make demo" in text and "make test" in text
    assert scripts <= {command[0] for _, command in COMMANDS}
    assert len(text.splitlines()) <= 120


def test_readme_leads_to_every_page():
    linked = re.findall(r"\]\(docs/([^)#]+)", (PROJECT / "README.md").read_text(encoding="utf-8"))
    assert {page.name for page in PAGES} - {"README.md"} <= set(linked)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_presets_and_linked_files_exist(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"configs/[\w.-]+\.yaml", text))
    linked = {target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target}
    missing = [name for name in named if not (PROJECT / name).is_file()]
    missing += [target for target in linked if target and not (page.parent / target).exists()]
    assert not missing


def test_the_chinese_page_has_the_same_sections_commands_flags_and_links():
    pages = [(PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")]
    for pattern in (r"^```.*?^```", r"`(--[^`]+|[\w/]+\.\w+)`", r"\]\((?!README)([^)]+)\)"):
        english, chinese = (re.findall(pattern, page, flags=re.M | re.S) for page in pages)
        assert len(english) >= 5 and sorted(set(english)) == sorted(set(chinese)), pattern
    for mark in ("## ", "**", "|", "- "):
        english, chinese = (sum(line.startswith(mark) for line in page.splitlines()) for page in pages)
        assert english == chinese, mark
    assert commands_in(pages[0]) == commands_in(pages[1])
    english, chinese = (re.findall(r"[\d.]+", "".join(re.findall(r"^\|.*", page, re.M))) for page in pages)
    assert sorted(english) == sorted(chinese)  # the figures of the table
