"""The page and the tables for a paper: complete, well-formed, escaped, self-contained."""

import base64
import copy
import io
import re
from html.parser import HTMLParser

import numpy
import pytest
from browser import browser
from markupsafe import escape
from PIL import Image
from tables import rows_of
from toy_metrics import NASTY, toy_metrics

from data.sheets import GAP, grid, save_png
from evaluation.report import charts
from evaluation.report.page import CAPTIONS, CUT, cutter, write_report
from evaluation.report.sheets import GLANCE, PEOPLE, SMALL
from evaluation.report.tables import tex

VOID = {"meta", "link", "img", "br"}
PERCENT = {"accuracy", "memorised", "judged_right", "confidence", "arms", "differences", "beyond_best_real"}
PERCENT |= {"chance", "groups"}


class Page(HTMLParser):
    """Checks the nesting while it reads; keeps attributes of every element, and the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        self.open, self.elements, self.text = [], [], []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def page_of(folder, metrics, pictures=None) -> Page:
    return Page(write_report(folder, metrics, pictures or {}).read_text(encoding="utf-8"))


@pytest.fixture
def pictures(tmp_path) -> dict:
    paths = {}
    for name in (*CAPTIONS, *CUT, "another_one"):
        paths[name] = tmp_path / f"{name}.png"
        Image.linear_gradient("L").resize((1500, 1300) if name in CUT else (900, 300)).save(paths[name])
    return paths


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Page:
    """Of the toy's figures, without pictures; its folder has the tables."""
    page = page_of(folder := tmp_path_factory.mktemp("plain"), toy_metrics())
    page.folder = folder
    return page


def cells_of(metrics) -> int:
    """How many images of single people, beside each other, the page has to show."""
    examples = metrics["examples"].values()
    return 2 * min(PEOPLE, len(examples)) + sum(
        3 + len(example["best"]) + len(example["worst"]) for example in examples
    )


def test_the_page_is_well_formed_and_asks_nobody(tmp_path, pictures):
    path = write_report(tmp_path, toy_metrics(), pictures)
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert path.name == "report.html" and source.startswith("<!DOCTYPE html>")
    images = [attributes for name, attributes in page.elements if name == "img"]
    sizes = []
    for image in images:
        kind, data = image["src"].split(",")
        assert kind in ("data:image/png;base64", "data:image/jpeg;base64") and image["alt"].strip()
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data, validate=True))).size)
    assert sizes.count((900, 300)) == len(pictures) - len(CUT)
    assert sizes.count((SMALL, SMALL)) == cells_of(toy_metrics()) - 6
    strips = [size for size in sizes if size[0] == GLANCE * SMALL + 4 * (GLANCE - 1)]
    assert strips == [(strips[0][0], SMALL)] * 6 and len(sizes) == len(pictures) - 2 + cells_of(toy_metrics())
    anchors = {attributes.get("id") for _, attributes in page.elements}
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    assert len(links) > 10
    assert all(link == "data:," or link.startswith("#") and link[1:] in anchors for link in links)
    rest = re.sub(r"base64,[^\"]*", "", source)
    assert not re.search(r"https?://|//\w|url\(|@import|\son\w+=", rest)
    assert {name for name, _ in page.elements} & {"script", "iframe", "object", "embed", "video"} == set()
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.elements


def test_the_same_figures_give_the_same_bytes(tmp_path, plain):
    assert page_of(tmp_path, toy_metrics()).source == plain.source


def test_drawings_and_tables_can_be_heard_and_seen_in_the_dark(plain):
    """A drawing has its figures as alternative text, and its colours from the style sheet, which has light
    and dark ones; every table has a caption, every heading a direction; no id is there twice.
    """
    assert "prefers-color-scheme: dark" in plain.source
    drawings = re.findall(r"<svg.*?</svg>", plain.source, flags=re.DOTALL)
    assert len(drawings) > 20 and "var(--c0)" in drawings[0] and not re.search(r"[^&]#", "".join(drawings))
    spoken = [attributes["aria-label"] for name, attributes in plain.elements if name == "svg"]
    kid = toy_metrics()["distances"]["radar"]["kid"]
    values = [
        f"{kind} {pair['value']:.3g} [{', '.join(f'{end:.3g}' for end in pair['interval'])}]"
        for kind, pair in (("generated", kid["generated"]), ("baseline", kid["floor"]))
    ]
    assert len(spoken) == len(drawings) and "; ".join(values) in spoken
    names = [name for name, _ in plain.elements]
    assert names.count("table") == names.count("caption") > 10
    assert all("scope" in attributes for name, attributes in plain.elements if name == "th")
    ids = [attributes["id"] for _, attributes in plain.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_first_screen_answers_in_words_and_says_nothing_twice(tmp_path):
    metrics = toy_metrics()
    answers = metrics["answers"]
    metrics["summary"] = [one["sentence"] for one in answers.values()] + ["Near.", "Cannot be said: much."]
    page = page_of(tmp_path, metrics)
    text = " ".join(" ".join(page.text).split())
    first = text[: text.index("Person by person")]
    for question, one in answers.items():
        assert f"{question}? {one['word']}" in first and text.count(one["sentence"][-9:]) == 1
    assert first.index("Cannot be said") > first.index("useful?")
    assert text.count("Near.") == text.count("Cannot be said") == 1


def test_a_cell_of_a_sheet_is_the_image_that_was_put_there(tmp_path):
    tones = numpy.arange(0, 240, 10, dtype=numpy.uint8).reshape(4, 6)
    tiles = [[numpy.full((8, 8, 3), tone) for tone in row] for row in tones]
    save_png(grid(tiles, ["name"] * 4, SMALL), tmp_path / "sheet.png")
    cut = cutter()
    for row, column, count in ((0, 0, 1), (3, 5, 1), (2, 3, 3)):
        data = cut(tmp_path / "sheet.png", row, column, count).partition(",")[2]
        cells = numpy.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L")).astype(int)
        assert cells.shape == (SMALL, count * (SMALL + GAP) - GAP)
        for place in range(count):
            cell = cells[8:-8, place * (SMALL + GAP) + 8 : place * (SMALL + GAP) + SMALL - 8]
            assert abs(cell - int(tones[row, column + place])).max() <= 2


def test_names_cannot_become_markup(tmp_path, pictures):
    page = page_of(tmp_path, toy_metrics(), pictures)
    source = page.source
    assert '<b>&"7' not in source and "<b>&" not in source
    assert str(escape(NASTY)) in source and NASTY in page.text
    assert "Toy figures <of nobody>, drawn at random." in page.text
    written = (tmp_path / "table.tex").read_text(encoding="utf-8")
    assert r"ID\_\textless{}b\textgreater{}\&\textquotedbl{}7\_\% &" in written
    assert tex("[x]*") == "{[}x]{*}"  # the end of the row above would swallow them
    assert tex("a~b^c\\d{e}") == r"a\textasciitilde{}b\textasciicircum{}c\textbackslash{}d\{e\}"


def figures_of(value, percent=False):
    """What a reader must find: every text and number; shares and accuracies in per cent."""
    if isinstance(value, dict):
        for key, part in value.items():
            share = percent or "share" in value or key in PERCENT
            yield from figures_of(part, share and key not in ("count", "seeds", "unknown"))
    elif isinstance(value, list):
        for part in value:
            yield from figures_of(part, percent)
    elif isinstance(value, float):
        yield f"{value * 100:.1f}%" if percent else f"{value:.3g}"
    elif isinstance(value, (int, str)):
        yield str(value)


def test_every_figure_is_on_the_page(plain):
    metrics, text = toy_metrics(), " ".join(plain.text)
    few = metrics["few_shot"].pop("arms")
    del metrics["sweep"]["recommended"]  # a place in a list: the page marks the row
    metrics["few_shot"]["accuracy"] = list(few.values())
    known = {word.rstrip(".;:") for word in re.findall(r"[^\s\[\],]+", text)}
    wanted = [item for item in figures_of(metrics) if re.fullmatch(r"[-\d.e%]+", item)]
    assert len(wanted) > 400
    assert not [item for item in wanted if item not in known]
    assert not [item for item in figures_of(metrics) if item not in text]
    assert "Recommended: guidance 2, sampler heun." in text


def test_what_was_not_measured_is_left_out(tmp_path, monkeypatch):
    for name in ("dots", "curves"):  # drawings take most of a page's time
        monkeypatch.setattr(charts, name, lambda *_: "")
    metrics = toy_metrics()
    whole = page_of(tmp_path, metrics)
    for name in metrics.keys() - {"people"}:
        less = {key: part for key, part in metrics.items() if key != name}
        page = page_of(tmp_path, less)
        assert len("".join(page.text)) < len("".join(whole.text)), name
    assert page_of(tmp_path, {}).text
    source = page_of(tmp_path, {"people": ["ID_1"], "summary": ["Only this."]}).source
    assert "Only this." in source and "<h2" not in source


def test_figures_without_interval_or_value_are_shown_as_such(tmp_path):
    """What too few images leave: a mean of nothing, no interval, a distance that is not a number."""
    metrics = copy.deepcopy(toy_metrics())
    nothing = {"mean": None, "standard_error": None, "count": 0}
    metrics["generated"]["cadence"] = {**nothing, "per_person": {"ID_1": nothing}}
    metrics["distances"]["judge"]["kid"] = {"generated": {"value": float("nan"), "count": 3}}
    for setting in metrics["sweep"]["settings"]:
        setting["kid"] = {"value": None, "count": 0}
    page = page_of(tmp_path, metrics)
    assert "nan" not in " ".join(page.text).lower() and "None" not in page.source


def test_the_tables_hold_the_figures_as_measured(plain):
    metrics = toy_metrics()
    rows = {row["person"]: row for row in rows_of(plain.folder / "table.csv")}
    assert list(rows) == [*metrics["people"], "all"]
    for person, row in rows.items():
        whole = metrics["generated"]["torso_velocity"]
        figure = whole if person == "all" else whole["per_person"][person]
        read = [float(row[f"torso velocity m/s generated{part}"]) for part in ("", " low", " high", " count")]
        assert read == [figure["mean"], *figure["interval"], figure["count"]]
    vendi = metrics["diversity"]["latents"]["vendi"]["real"]["ID_2"]
    read = [rows[person]["Vendi score, latents real"] for person in ("ID_2", "all")]
    assert read == [str(vendi), ""]
    lines = (plain.folder / "table.tex").read_text(encoding="utf-8").splitlines()
    columns = [line.count("&") - line.count(r"\&") for line in lines if "&" in line]
    assert len(set(columns)) == 1 and f"l{'c' * columns[0]}" in lines[1]
    share = metrics["real"]["judged_right"]["per_person"]["ID_1"]["share"]
    assert any(line.startswith("ID\\_1 &") and f" {share * 100:.1f}\\% &" in line for line in lines)
    assert {"\\toprule", "\\midrule", "\\bottomrule"} <= set(lines)


MEASURE = """() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    broken: [...document.images].filter(image => !image.complete || !image.naturalWidth).length,
    images: document.images.length,
    spilt: [...document.querySelectorAll('td, th')].filter(cell => cell.scrollWidth > cell.clientWidth + 1)
        .map(cell => cell.outerHTML.slice(0, 80)),
    wide: [...document.querySelectorAll('body *')].filter(element => !element.closest('.box')
        && element.getBoundingClientRect().right > innerWidth + 1)
        .map(element => element.outerHTML.slice(0, 80)),
})"""


@pytest.mark.parametrize("width", [390, 1200])
def test_in_a_browser(tmp_path, pictures, width):
    """No error, nothing asked of the network, every image there, nothing wider than a phone."""
    people = (*(f"ID_{number}" for number in range(1, 11)), NASTY, "a_name_without_a_break_" * 4)
    metrics = toy_metrics(people)
    path = write_report(tmp_path, metrics, pictures)
    said, asked = [], []
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": width, "height": 844})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        measures = page.evaluate(MEASURE)
    asked = [url for url in asked if not url.startswith("data:")]
    assert not said and asked == [path.as_uri()]
    shown = len(pictures) - len(CUT) + cells_of(metrics)
    assert measures == {"over": 0, "broken": 0, "images": shown, "spilt": [], "wide": []}
