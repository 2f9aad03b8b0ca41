"""A headless Chromium for tests of pages; without one they are skipped."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from benchmarks.draw_page import chromium_of, launched

WIDTHS = (390, 1200)


@contextlib.contextmanager
def browser() -> Iterator:
    """Chromium as `benchmarks.draw_page` finds it."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as session:
        if not os.path.isfile(chromium_of(session)):
            pytest.skip("no Chromium: set CHROMIUM to one, or run playwright install chromium")
        chromium = launched(session)
        yield chromium
        chromium.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def opened(chromium, address: str, width: int) -> tuple:
    """The page at a width in pixels, and a list that gains the address of every request."""
    page, requests = chromium.new_page(viewport={"width": width, "height": 850}), []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    return page, requests


def require_that_it_fits(page, requests: list[str], address: str, width: int) -> None:
    """Nothing lies beyond the right edge, and no other host was asked."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    asked = [url for url in requests if not url.startswith(("data:", "blob:"))]
    assert asked and not [url for url in asked if not url.startswith(f"{address}/")]
