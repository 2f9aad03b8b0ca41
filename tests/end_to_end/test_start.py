"""How every command starts: --help and mistakes are answered before what takes seconds is loaded."""

import json
import subprocess
import sys

from conftest import PROJECT

import stage0_prepare
import stage4_evaluate

SCRIPTS = [
    *(["stage0_prepare.py", name] for name in stage0_prepare.COMMANDS),
    *(["stage4_evaluate.py", name] for name in stage4_evaluate.COMMANDS),
    *([path.name] for path in sorted(PROJECT.glob("*.py")) if path.name != "example.py"),
    ["playground"],
    ["sampling.push"],
    ["tokenizer.convert"],
]
LIGHTNING = ["pytorch_lightning", "lightning_fabric", "torchvision", "torch._dynamo"]
LARGE = ["torch", "numpy", "scipy", "matplotlib", "PIL", "gradio", *LIGHTNING]
START = """
import json, runpy, sys
commands, large = map(json.loads, sys.argv[1:])
for script, *words in commands:
    sys.argv = [script, *words]
    run = runpy.run_path if script.endswith(".py") else runpy.run_module
    try:
        run(script, run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code or 0
    loaded = [name for name in large if name in sys.modules]
    assert (status, loaded) == (0 if words[-1] == "--help" else 2, []), (script, *words, status, loaded)
"""


def start(commands: list[list[str]], large: list[str]) -> tuple[str, str]:
    """What the commands say, one after the other in a new process, where none may load what is `large`."""
    argv = [sys.executable, "-c", START, json.dumps(commands), json.dumps(large)]
    process = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return process.stdout, process.stderr


def test_help_and_a_wrong_key_wait_for_nothing():
    out, err = start([[*script, last] for script in SCRIPTS for last in ("--help", "no_such_key=1")], LARGE)
    assert out.count("usage: ") == len(SCRIPTS) - 1  # stage 0 alone tells of its commands instead
    assert err.count("error: ") == len(SCRIPTS)


def test_a_missing_input_waits_for_no_lightning(tmp_path):
    missing = str(tmp_path / "missing")
    trainings = ("stage2_train_dit.py", "--latent_dir"), ("train_tokenizer.py", "--data_dir")
    _, err = start([[*one, missing, "--output_dir", str(tmp_path / "out")] for one in trainings], LIGHTNING)
    assert err.count(f"error: {missing}: no such") == 2 and not (tmp_path / "out").exists()
