"""docs/troubleshooting.md names messages that the code has, word by word."""

import ast
import re

import pytest
from conftest import PROJECT
from project_files import sources

PAGE = (PROJECT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ANY = "…"
# A message stands in a line of its own, before the line that explains it.
MESSAGES = [
    message
    for line in re.findall(r"^(`.*`)\n: ", PAGE, flags=re.M)
    for message in re.findall(r"`([^`]+)`", line)
]


def template(node: ast.AST) -> str:
    """The text of a string expression, … for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else ANY for part in node.values)
    return ANY


def templates() -> set[str]:
    """Every string of the project's code."""
    trees = [ast.parse((PROJECT / path).read_text(encoding="utf-8")) for path in sources()]
    strings = (
        node for tree in trees for node in ast.walk(tree) if isinstance(node, (ast.JoinedStr, ast.Constant))
    )
    return {text for text in map(template, strings) if len(text) > 3}


@pytest.fixture(scope="module")
def code() -> str:
    return "\0".join(sorted(templates()))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_has_the_message(message, code):
    parts = [re.escape(part) for part in message.split(ANY)]
    assert re.search("[^\0]*?".join(parts), code), "reworded in the code or on the page"
