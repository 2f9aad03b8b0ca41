"""metrics.json and its images as one page, report.html; table.csv and table.tex for a paper.

The page asks the network for nothing and runs no script: images are inside it, charts are SVG, and a content
security policy makes the browser hold both.

To add a section: write templates/NAME.html, and put a Section into SECTIONS where it shall stand. The
template gets `metrics` and all of `tables` and `charts`; its tables come from templates/macros.html, its
drawings from `dots` and `curves`. The section is left out where metrics.json has none of its keys; what is
under keys of no section is listed at the end of the page.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup
from PIL import Image

from data.atomic import write_text
from data.sheets import data_uri, image_uri
from evaluation.report import tables
from evaluation.report.sheets import GLANCE, at_the_top, corners
from evaluation.report.tables import KINDS, words

PLAIN = ("inputs", "versions", "seed", "seconds", "counts", "chance", "held_out")
CUT = ("first_look", "examples")  # sheets that the page shows cell by cell
CAPTIONS = {
    "generators_beside_real": "Of each person a row of held-out real images, then one of each generator's.",
    "real_beside_generated": "A row per person: held-out real images left, generated ones right.",
    "closest_pairs": "The generated images closest to a training image, each beside it. The same walk at the "
    "same moment in both means a copy.",
    "overlap": "Features of the judge in two principal components: generated images should lie where the "
    "real ones of the same person lie. Two components hide much; the distances count.",
}


class Section(NamedTuple):
    """The name of its template, its image or both; its heading; the keys of metrics.json that it shows."""

    name: str
    title: str
    keys: tuple[str, ...] = ()


SECTIONS = (
    Section("generators_beside_real", "Real beside every generator"),
    Section("comparison", "Which generator is closer?", ("comparison", "generators")),
    Section("real_beside_generated", "Real beside generated"),
    Section("people", "Person by person", (*KINDS, "examples")),
    Section("closest_pairs", "Closest pairs", ("closest_pairs",)),
    Section("data_copying", "Nearer to training than real ones?", ("data_copying",)),
    Section("planted", "Can the copy tests fail?", ("planted",)),
    Section("overlap", "Overlap"),
    Section("judge", "The judge", ("judge", "agreement", *KINDS)),
    Section("groups", "Same day, other day", ("groups",)),
    Section("distances", "Distances", ("distances",)),
    Section("variety", "Variety", ("diversity",)),
    Section("kinematics", "Kinematics", ("kinematics_distance",)),
    Section("velocity_intervention", "Does the velocity follow the speed?", ("velocity_intervention",)),
    Section("study", "The study", ("beside_physical", "confusions", "learning", "others")),
    Section("augmentation", "Does it help a classifier?", ("verdict",)),
    Section("few_shot", "Few real images", ("few_shot",)),
    Section("tokenizer", "What the tokenizer allows", ("tokenizer",)),
    Section("sweep", "Guidance sweep", ("sweep",)),
)


def write_report(folder: Path, metrics: dict[str, Any], pictures: dict[str, Path]) -> Path:
    """Write report.html, table.csv and table.tex into `folder`; return the page's path.

    `metrics` is what metrics.json holds; whatever part is missing is left out. `pictures` maps a name of
    CAPTIONS or CUT, or another, to a PNG. FileNotFoundError: such an image is not there. Same input, same
    bytes.
    """
    named = {section.name for section in SECTIONS} | {*CUT}
    further = [Section(name, words(name).capitalize()) for name in pictures if name not in named]
    shown = {"answers", "summary", "people", "units", *(key for section in SECTIONS for key in section.keys)}
    rest = {name: metrics[name] for name in (*PLAIN, *metrics) if name in metrics and name not in shown}
    pages = environment(metrics=metrics, pictures=pictures, rest=rest)
    parts = []
    for section in (*SECTIONS, *further, Section("method", "How it was measured", tuple(rest))):
        known = any(metrics.get(key) for key in section.keys)
        body = pages.get_template(f"{section.name}.html").render().strip() if known else ""
        if body or section.name in pictures:
            parts.append((section, Markup(body)))
    makers = (tables.figure_columns, tables.agreement_columns, tables.variety_columns, tables.motion_columns)
    columns = [column for maker in makers for column in maker(metrics)]
    write_text(folder / "table.csv", tables.people_csv(metrics.get("people", []), columns))
    write_text(folder / "table.tex", pages.get_template("table.tex").render(columns=columns))
    write_text(folder / "report.html", pages.get_template("page.html").render(parts=parts))
    return folder / "report.html"


def environment(**given: Any) -> Environment:
    """Templates that know `given` and all of `tables` and `charts`; HTML escapes what it shows."""
    from evaluation.report import charts

    pages = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    pages.globals |= {**vars(charts), **vars(tables), **given, "CAPTIONS": CAPTIONS, "inlined": inlined}
    pages.globals |= {"cut": cutter(), "at_the_top": at_the_top, "GLANCE": GLANCE}
    pages.filters |= {"words": words, "number": tables.number, "tex": tables.tex}
    pages.tests["figure"] = tables.is_figure
    return pages


def inlined(picture: Path) -> str:
    return data_uri(picture.read_bytes(), "image/png")


def cutter() -> Callable[..., str]:
    """What gives `count` neighbouring cells of a sheet from CUT; as JPEG, a third of the size of a PNG."""
    opened = cache(lambda picture: Image.open(picture).convert("RGB"))

    def cut(picture: Path, row: int, column: int, count: int = 1) -> str:
        cells = opened(picture).crop(corners(row, column, count))
        return image_uri(cells, "jpeg", quality=85, subsampling=0)

    return cut
