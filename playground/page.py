"""The page: people, condition, guidance, steps and seed on the left, what they give on the right."""

from __future__ import annotations

import gradio

from configs.errors import UserError
from playground.drawing import Drawing
from sampling.trained_model import checked

MOST = 8  # people side by side
CSS = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.5rem; }
.card { margin: 0; }
.card figcaption { font-weight: 600; font-size: 1.1rem; }
.card svg { width: 100%; height: auto; display: block; }
.card svg text { fill: currentColor; font-size: 12px; font-family: inherit; }
.card svg .frame, .card svg .tick { stroke: currentColor; fill: none; }
.card svg .torso { fill: none; stroke-linejoin: round; stroke: black; stroke-width: 3.5; }
.card svg .torso + .torso { stroke: white; stroke-width: 1.5; }
.card dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 0.75rem; margin: 0.5rem 0; }
.card dd { margin: 0; overflow-wrap: anywhere; }
.card dt { opacity: 0.75; }
.card a { padding: 0; }
.card .nearest { width: 5rem; display: block; margin-bottom: 0.25rem; }
.share { display: block; }
.word { white-space: nowrap; }
.command { white-space: pre-wrap; }
"""


def build(drawing: Drawing) -> gradio.Blocks:
    """The page of `drawing`."""
    usual = checked({"dit_checkpoint": drawing.config.model, "vavae_path": drawing.config.vavae_path})

    def show(
        people: list[str], condition: str, guidance: float, steps: int, seed: int | None, torso: bool
    ) -> str:
        if not people:
            return "<p>Choose one person or more.</p>"
        try:
            return drawing.draw(people, condition, guidance, int(steps), int(seed or 0), torso)
        except UserError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    with gradio.Blocks(title="Micro-Doppler playground", analytics_enabled=False, fill_width=True) as page:
        gradio.Markdown(
            "# Micro-Doppler playground\nSpectrograms of a chosen person's walk, drawn as you ask."
        )
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                names, conditions = drawing.people, drawing.conditions
                people = gradio.Dropdown(
                    names, value=names[:1], multiselect=True, max_choices=MOST, label="People"
                )
                condition = gradio.Dropdown(
                    conditions, value=conditions[0], label="Condition", visible=len(conditions) > 1
                )
                known, acts = "1: none; above 2: caricatures", not drawing.model.few_step
                guidance = gradio.Slider(
                    0.0, 6.0, usual.guidance_scale, step=0.1, label="Guidance", info=known, visible=acts
                )
                steps = gradio.Slider(
                    1, 60, usual.num_steps, step=1, label="Steps of the solver", visible=acts
                )
                seed = gradio.Number(usual.seed, precision=0, label="Seed")
                another = gradio.Button("Another walk", variant="primary")
                torso = gradio.Checkbox(True, label="Torso line", visible=drawing.model.axes is not None)
            with gradio.Column(scale=3, min_width=280):
                shown = gradio.HTML()
        inputs = [people, condition, guidance, steps, seed, torso]
        another.click(
            lambda seed: int(seed or 0) + 1, seed, seed, api_visibility="private", show_progress="hidden"
        )
        gradio.on(
            [page.load, *(one.change for one in inputs)],
            show,
            inputs,
            shown,
            trigger_mode="always_last",  # while a slider is dragged, what lies between is left out
            show_progress="minimal",
            concurrency_limit=1,
            api_visibility="private",
        )
    return page
