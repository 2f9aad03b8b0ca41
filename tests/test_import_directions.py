"""Who may import whom (the rooms' layers), and names that would shadow another package."""

import ast
import re
import sys
from graphlib import TopologicalSorter

import pytest
from conftest import PROJECT
from project_files import python_files, sources

ROOMS = {
    "configs": 0,
    "weight_files": 0,
    "tokenizer": 1,
    "models": 1,
    "transport": 1,
    "radar": 1,
    "data": 2,
    "runtime": 2,
    "sampling": 3,
    "training": 4,
    "evaluation": 4,
    "preparation": 5,
    "playground": 5,
    "stages": 6,
}
LAYER_1 = {"tokenizer", "models", "transport", "radar"}
BELOW_4 = {"configs", "weight_files", *LAYER_1, "data", "runtime", "sampling"}
# Beyond "any lower layer": layer 1 stands alone but for weight files, JSON and the type of its refusals, data
# sees no network (nor weight files, which may come from one), the runner starts stages as processes.
ALLOWED = {
    "configs": set(),
    "weight_files": {"configs"},
    **dict.fromkeys(LAYER_1, {"configs.errors", "configs.json_text", "weight_files"}),
    "tokenizer.convert": {"configs", "weight_files", "tokenizer"},  # a command line
    "data": {"configs", "radar.colormap"},
    "runtime": {"configs"},
    "sampling": {"configs", "weight_files", *LAYER_1, "data", "runtime"},
    "training": BELOW_4,
    "evaluation": BELOW_4,
    "preparation": {*BELOW_4, "training", "evaluation"},
    "playground": {*BELOW_4, "evaluation"},
    "stages": {*BELOW_4, "training", "evaluation"},
    "run_complete_pipeline": {"configs"},
    "example": {"sampling"},
}
STAGE = set(ROOMS) - {"playground"}  # a command of its own
FORBIDDEN = {"datasets", "evaluate", "signal", "statistics", "profile", "types", "logging", "utils"}
CONFIGS_PACKAGES = {"omegaconf", "yaml"}  # yaml: OmegaConf's own parser, whose errors are named


FILES = python_files()
SOURCES = sources()
MODULES = {path.with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__") for path in FILES}
OWN = {path.parts[0].removesuffix(".py") for path in SOURCES}


def imported(source: str, package: str = "") -> list[str]:
    """Dotted names that the source imports anywhere, functions included; `from a import b` gives a.b."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            names += [f"{base}.{alias.name}" for alias in node.names]
    return names


def faults(room: str, names: list[str]) -> list[str]:
    """Those of our own modules among `names` that `room` may not import."""
    allowed = ALLOWED.get(room, STAGE) | ({room} if room in ROOMS else set())
    return [
        name
        for name in names
        if name.split(".")[0] in OWN
        and not any(name == other or name.startswith(f"{other}.") for other in allowed)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=[path.as_posix() for path in SOURCES])
def test_imports_go_downwards_only(path):
    module = path.with_suffix("").as_posix().replace("/", ".")
    room = module if module in ALLOWED else path.parts[0].removesuffix(".py")
    names = imported((PROJECT / path).read_text(encoding="utf-8"), ".".join(path.parts[:-1]))
    assert not faults(room, names)
    if room == "configs":
        outside = {name.split(".")[0] for name in names} - OWN - set(sys.stdlib_module_names)
        assert outside <= CONFIGS_PACKAGES


@pytest.mark.parametrize("path", SOURCES, ids=[path.as_posix() for path in SOURCES])
def test_refusals_are_of_one_type(path):
    """What a user can mend raises UserError; a bare ValueError would end in a traceback."""
    raised = [
        node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        for node in ast.walk(ast.parse((PROJECT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
    ]
    assert "ValueError" not in [getattr(name, "id", None) for name in raised]


def test_no_private_interface_of_torch_is_used():
    """Which a next version may lack."""
    private = re.compile(r"torch\._[a-z]|\._cdata\b|\._cudnn")
    assert not [path for path in SOURCES if private.search((PROJECT / path).read_text(encoding="utf-8"))]


def test_every_room_and_script_is_in_the_table():
    rooms = {path.parts[0] for path in SOURCES if len(path.parts) > 1}
    scripts = {path.stem for path in SOURCES if len(path.parts) == 1}
    assert rooms <= set(ROOMS)
    assert scripts == {
        "stage0_prepare",
        "stage1_extract_features",
        "stage2_train_dit",
        "stage3_inference",
        "stage4_evaluate",
        "train_tokenizer",
        "run_complete_pipeline",
        "example",
    }


def test_nothing_shadows_another_package():
    top = {path.parts[0].removesuffix(".py") for path in FILES}
    assert not top & FORBIDDEN
    assert not [path for path in FILES if path.name == "utils.py"]
    assert not (top - {"tests"}) & set(sys.stdlib_module_names)


def test_no_modules_import_each_other_in_a_circle():
    imports = {}
    for path in SOURCES:
        names = imported((PROJECT / path).read_text(encoding="utf-8"), ".".join(path.parts[:-1]))
        modules = {name if name in MODULES else name.rpartition(".")[0] for name in names} & MODULES
        imports[".".join(path.with_suffix("").parts).removesuffix(".__init__")] = modules
    TopologicalSorter(imports).prepare()  # CycleError names the circle
