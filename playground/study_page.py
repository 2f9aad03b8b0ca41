"""The page of a user study: one question after the other, two buttons, and figures at the end."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import gradio
from PIL import Image

from configs.command_line import say
from data.images import open_rgb
from data.sheets import image_uri
from playground.detection import KIND, table
from playground.templates import render
from playground.user_study import Answers, Material
from tokenizer.vavae import as_rows, preprocess

CSS = """
.images { display: flex; gap: 1rem; margin: 0.5rem 0; }
.images figure { margin: 0; flex: 0 1 20rem; min-width: 0; }
.images img { width: 100%; height: auto; display: block; }
.images.known figure { flex-basis: 9rem; }
.choices { max-width: 41rem; }
.figures { width: 100%; max-width: 41rem; }
.figures th, .figures td { text-align: left; padding: 0.25rem 0.5rem; width: 40%; }
.figures th { width: 20%; }
"""


def build(answers: Answers, material: Material) -> gradio.Blocks:
    """The page; each answer is kept before the next question is shown."""

    def picture(name: str) -> str:
        """As stage 1 sees it, whatever the file's size and format were."""
        return image_uri(Image.fromarray(as_rows(preprocess(open_rgb(material.images[name]))[None])[0]))

    def sections() -> list[tuple[str, list[tuple[str, ...]]]]:
        grouped = groupby(table(answers.rows), lambda line: line[:2])
        return [
            (f"{question}: {kinds} images", [line[2:] for line in lines])
            for (question, kinds), lines in grouped
        ]

    def show() -> tuple[Any, ...]:
        place = answers.next
        if place is None:
            hidden = gradio.Button(visible=False)
            return render("study.html", sections=sections()), None, hidden, hidden
        trial = answers.trials[place]
        pictures = {
            "known": [picture(name) for name in trial.references],
            "asked": [
                (side, picture(name)) for side, name in (("left", trial.left), ("right", trial.right)) if name
            ],
        }
        count = len(answers.trials)
        html = render(
            "study.html",
            place=place + 1,
            count=count,
            person=trial.person,
            alone=trial.question == KIND,
            **pictures,
        )
        return html, place, *(gradio.Button(option.capitalize(), visible=True) for option in trial.options)

    def answered(place: int, choice: int) -> tuple[Any, ...]:
        answers.add(place, answers.trials[place].options[choice])
        if answers.next is None:
            say(answers.account())
        return show()

    with gradio.Blocks(title="User study", analytics_enabled=False) as page:
        shown, place = gradio.HTML(), gradio.State()
        with gradio.Row(elem_classes="choices"):
            buttons = [gradio.Button(visible=False, min_width=120) for _ in range(2)]
        outputs = [shown, place, *buttons]
        private: dict[str, Any] = {
            "api_visibility": "private",
            "show_progress": "hidden",
            "concurrency_limit": 1,
        }
        page.load(show, None, outputs, **private)
        for choice, button in enumerate(buttons):
            number = gradio.State(choice)
            button.click(answered, [place, number], outputs, concurrency_id="answers", **private)
    return page
