"""A user study in a browser: blind, kept over a reload, answered by keyboard, with figures at the end."""

import pytest
from browser import WIDTHS, browser, free_port, opened, require_that_it_fits

pytest.importorskip("gradio")

from configs.schema import PlaygroundConfig
from playground.serving import serve
from playground.study_page import CSS, build
from playground.user_study import Answers, open_study

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", WIDTHS)
def test_a_study_from_the_first_question_to_its_figures(toy, tmp_path, width):
    config = PlaygroundConfig(study=str(toy.images), real=str(toy.data), trials=2)
    material, trials, _ = open_study(config)
    answers = Answers(tmp_path / "answers.csv", trials)
    served = build(answers, material)
    address = serve(served, "127.0.0.1", free_port(), CSS, wait=False)
    with browser() as chromium:
        page, requests = opened(chromium, address, width)
        for place, trial in enumerate(trials):
            page.get_by_text(f"{place + 1} of 8", exact=True).wait_for()
            assert page.locator(".known img").count() == len(trial.references)
            assert page.locator(".images:not(.known) img").count() == 1 + bool(trial.right)
            seen = page.content()
            assert not [
                name for name in (trial.left, trial.right) if name and name.rpartition("/")[2] in seen
            ]
            require_that_it_fits(page, requests, address, width)
            page.get_by_role("button", name=trial.truth.capitalize(), exact=True).focus()
            page.keyboard.press("Enter")
            if place == 3:
                page.get_by_text("5 of 8", exact=True).wait_for()
                page.reload()
        page.get_by_text("Thank you").wait_for()
        assert page.get_by_role("row", name="everybody 100%").count() == 3
        require_that_it_fits(page, requests, address, width)
    served.close()
    again = Answers(tmp_path / "answers.csv", trials)
    assert again.next is None and all(row["answer"] == row["truth"] for row in again.rows)
