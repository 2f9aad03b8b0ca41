"""The page in a browser: at a phone's and a screen's width, by keyboard, and asking no other machine."""

import numpy
import pytest
from browser import WIDTHS, browser, free_port, opened, require_that_it_fits
from PIL import Image

pytest.importorskip("gradio")

from configs.schema import PlaygroundConfig
from playground.drawing import Drawing
from playground.page import CSS, build
from playground.serving import serve

pytestmark = pytest.mark.slow
PICTURE = ".card image"


@pytest.fixture(scope="module")
def drawing(toy):
    networks = {"model": str(toy.lively), "vavae_path": str(toy.tokenizer)}
    return Drawing.load(PlaygroundConfig(**networks, device="cpu", real=str(toy.data)))


@pytest.fixture(scope="module")
def address(drawing):
    page = build(drawing)
    yield serve(page, "127.0.0.1", free_port(), CSS, wait=False)
    page.close()


@pytest.fixture(scope="module")
def chromium():
    with browser() as program:
        yield program


def changed(page, action):
    """Do `action` and wait for another picture."""
    before = page.get_attribute(PICTURE, "href")
    action()
    page.wait_for_function(
        "before => document.querySelector('.card image')?.getAttribute('href') !== before", arg=before
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_people_stand_side_by_side_or_one_below_the_other(chromium, address, width):
    page, requests = opened(chromium, address, width)
    page.wait_for_selector(PICTURE, state="attached")
    people = page.get_by_label("People")
    people.click()
    people.fill("ID_10")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.card').length == 2")
    left = [page.locator(".card").nth(place).bounding_box()["x"] for place in (0, 1)]
    assert (left[0] < left[1]) == (width > 800)
    assert page.get_by_role("img", name="Spectrogram of ID_10: radial velocity over time").is_visible()
    assert page.get_by_role("img", name="Nearest training image").count() == 2
    require_that_it_fits(page, requests, address, width)
    page.close()


def test_keys_change_the_picture_to_what_python_draws(chromium, address, drawing, tmp_path):
    page, _ = opened(chromium, address, WIDTHS[1])
    page.wait_for_selector(PICTURE, state="attached")
    page.get_by_role("slider", name="Guidance").focus()
    changed(page, lambda: page.keyboard.press("ArrowRight"))
    page.get_by_role("button", name="Another walk").focus()
    changed(page, lambda: page.keyboard.press("Enter"))
    link = page.get_by_role("link", name="PNG")
    link.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "ID_1.png")
    drawn = drawing.model.draw("ID_1", n=1, guidance=1.6, steps=15, seed=1)[0]
    assert (numpy.asarray(Image.open(tmp_path / "ID_1.png")) == drawn).all()
    page.close()


def test_nobody_is_asked_for_and_a_seed_below_zero(chromium, address):
    page, _ = opened(chromium, address, WIDTHS[1])
    page.wait_for_selector(PICTURE, state="attached")
    page.get_by_label("Seed").fill("-3")
    page.get_by_text("expected at least 0").first.wait_for()
    page.get_by_label("Seed").fill("3")
    page.get_by_label("People").focus()
    page.keyboard.press("Backspace")
    page.get_by_text("Choose one person or more.").wait_for()
    page.close()
