"""Names say what a value is (CONTRIBUTING, Words)."""

import ast

from conftest import PROJECT
from project_files import python_files

SAY_NOTHING = {"own", "found", "told", "there", "odd", "strangers"}


def names_given(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and name of every variable, parameter, attribute, function and class that the code names."""
    given = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                given.append((node.lineno, name))
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                given.append((node.lineno, name))
    return given


def test_a_name_carries_a_type():
    vague = [
        f"{path}:{line}: {name}"
        for path in python_files()
        for line, name in names_given(ast.parse((PROJECT / path).read_text(encoding="utf-8")))
        if name.strip("_") in SAY_NOTHING
    ]
    assert vague == []
