"""The picture of docs/judge.md: the first screen of a report, as a browser shows it.

    python -m benchmarks.draw_page out/demo/evaluation/report.html docs/report_first_screen.png

It requires Playwright and a Chromium (docs/evaluation.md says where from).
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from configs.command_line import run_script, say
from configs.errors import UserError

SIZE = {"width": 1200, "height": 960}  # pixels


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("page", type=Path, help="report.html of stage 4")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args(argv)
    if not options.page.is_file():
        raise UserError(f"{options.page}: no such file; stage 4 writes report.html")
    photograph(options.page, options.picture)
    say(f"wrote {options.picture}, {options.picture.stat().st_size / 1000:.0f} kB")


def chromium_of(session: Any) -> str:
    """The Chromium for a session of Playwright: $CHROMIUM, one on the PATH, or Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell")
    path = next(filter(None, map(shutil.which, names)), None)
    return os.environ.get("CHROMIUM") or path or session.chromium.executable_path


def launched(session: Any) -> Any:
    return session.chromium.launch(executable_path=chromium_of(session), args=["--no-sandbox"])


def photograph(page: Path, picture: Path) -> None:
    """The first SIZE pixels of a page."""
    from playwright.sync_api import sync_playwright  # here: it is no requirement

    with sync_playwright() as session:
        chromium = launched(session)
        shown = chromium.new_page(viewport=SIZE, color_scheme="light")
        shown.goto(page.absolute().as_uri())
        shown.screenshot(path=picture)
        chromium.close()


if __name__ == "__main__":
    run_script(main)
