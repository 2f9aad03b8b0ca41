"""The project's Python files, for tests that read its code."""

import subprocess
from pathlib import Path

from conftest import PROJECT


def python_files() -> list[Path]:
    """Every Python file, tests included; new files count before they are committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    names = (
        listed.stdout.split()
        if listed.returncode == 0
        else [
            path.relative_to(PROJECT).as_posix()
            for path in PROJECT.rglob("*.py")
            if ".venv" not in path.parts
        ]
    )
    return sorted(Path(name) for name in names if (PROJECT / name).is_file())


def sources() -> list[Path]:
    """Those of the program itself."""
    return [path for path in python_files() if path.parts[0] not in ("tests", "benchmarks", "notebooks")]
