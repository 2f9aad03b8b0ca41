"""metrics.json and its pictures as one page, report.html; table.csv and table.tex for a paper.

The page asks the network for nothing and runs no script: pictures are inside it, charts are SVG, and a
content security policy makes the browser hold both.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data.atomic import write_text
from evaluation.report.markup import (
    Safe,
    chart,
    described,
    figure_cell,
    legend_of,
    picture,
    strip,
    table,
    tag,
)
from evaluation.report.tables import (
    KINDS,
    Column,
    figure_columns,
    is_figure,
    motion_columns,
    number,
    people_csv,
    people_tex,
    said,
    variety_columns,
    words,
)

PAGE = Path(__file__).with_name("page.html.in")
PLAIN = ("inputs", "versions", "seed", "seconds", "counts", "chance", "held_out")
BETTER = dict.fromkeys(("kid", "frechet", "sliced_wasserstein"), "lower")
NOTES = {
    "people": "Real: pictures held out from training. In brackets: 95% intervals; n: pictures measured.",
    "judge": "Rows: whose picture it is, or was asked for; columns: whom the judge names; darker: more of "
    "the row.",
    "distances": "Held-out real pictures against generated ones, beside the floor: the same against real "
    "training pictures. What reaches the floor cannot be told from real by this measure at this count.",
    "variety": "The Vendi score is the number of pictures, all different, that would be as varied. Far below "
    "real: the generator repeats itself.",
    "motion": "How far the distribution of a quantity must be moved to become that of held-out real pictures "
    "(Wasserstein distance), beside the same for real training pictures.",
    "verdict": "Classifiers trained from different seeds, all tried on the same held-out real pictures.",
    "tokenizer": "Held-out real pictures, encoded and decoded. Generated pictures come out of the same "
    "decoder and can hardly be better than these.",
}
CAPTIONS = {
    "real_beside_generated": "A row per person: held-out real pictures left, generated ones right.",
    "closest_pairs": "The generated pictures closest to a training picture, each beside it. The same "
    "walk at the same moment in both means a copy.",
    "overlap": "Features of the judge in two principal components: generated pictures should lie where the "
    "real ones of the same person lie. Two components hide much; the distances count.",
}


def write_report(folder: Path, metrics: dict[str, Any], pictures: dict[str, Path]) -> Path:
    """Write report.html, table.csv and table.tex into `folder`; return the page's path.

    `metrics` is what metrics.json holds; whatever part is missing is left out. `pictures` maps a name of
    CAPTIONS, or another, to a PNG. FileNotFoundError: such a picture is not there.
    """
    found = {"Person by person": people_section(metrics)}
    for name, path in pictures.items():
        caption = CAPTIONS.get(name, words(name))
        found[words(name).capitalize()] = [tag("p", caption, klass="note"), picture(path, caption)]
    found.setdefault("Closest pairs", []).extend(pairs_table(metrics))
    found |= {title: section(metrics) for title, section in SECTIONS.items()}
    parts = [(f"part{place}", title, part) for place, (title, part) in enumerate(found.items()) if part]
    links = tag("nav", *(tag("a", title, href=f"#{anchor}") for anchor, title, _ in parts))
    sections = (tag("section", tag("h2", title), *part, id=anchor) for anchor, title, part in parts)
    body = [*summary(metrics), links, *sections]
    page = string.Template(PAGE.read_text(encoding="utf-8")).substitute(body="\n".join(body))
    columns = [*figure_columns(metrics), *variety_columns(metrics), *motion_columns(metrics)]
    write_text(folder / "table.csv", people_csv(metrics.get("people", []), columns))
    write_text(folder / "table.tex", people_tex(metrics.get("people", []), columns))
    write_text(folder / "report.html", page)
    return folder / "report.html"


def summary(metrics: dict[str, Any]) -> list[Safe]:
    sentences = metrics.get("summary")
    return [tag("ul", *(tag("li", sentence) for sentence in sentences), klass="summary")] if sentences else []


def noted(name: str, *parts: Safe | None) -> list[Safe]:
    """The parts that are there, after what explains them; nothing where there is none."""
    kept = [part for part in parts if part]
    return [tag("p", NOTES[name], klass="note"), *kept] if kept else []


def people_section(metrics: dict[str, Any]) -> list[Safe]:
    return noted("people", people_table(metrics, figure_columns(metrics)))


def people_table(metrics: dict[str, Any], columns: list[Column]) -> Safe | None:
    """A row per person and one of all, the kinds of one measure side by side under its name."""
    if not columns:
        return None
    measures: dict[str, int] = {}
    for column in columns:
        name = words(column.measure) + (f", {column.unit}" if column.unit else "")
        measures[name] = measures.get(name, 0) + 1
    above = (tag("th", name, colspan=count) for name, count in measures.items())
    head: list[list[Any]] = [[tag("th", "person", rowspan=2), *above], [column.kind for column in columns]]
    known = metrics.get("people") or dict.fromkeys(name for column in columns for name in column.people)
    rows: list[list[Any]] = [
        [name, *(figure_cell(own.people.get(name), own.measure) for own in columns)] for name in known
    ]
    if any(column.overall for column in columns):
        rows.append(["all", *(figure_cell(column.overall, column.measure) for column in columns)])
    return table(head, rows)


def pairs_table(metrics: dict[str, Any]) -> list[Safe]:
    pairs = metrics.get("closest_pairs")
    if not pairs:
        return []
    return [table([list(map(words, pairs[0]))], [list(map(number, pair.values())) for pair in pairs])]


def judge_section(metrics: dict[str, Any]) -> list[Safe]:
    rows = described({words(name): value for name, value in metrics.get("judge", {}).items()})
    matrices = []
    for kind in KINDS:
        own = metrics.get(kind, {})
        rest = {words(name): own[name] for name in own if not is_figure(own[name]) and name != "confusion"}
        rows += described(rest, kind)
        if "confusion" in own:
            matrices.append(tag("div", tag("h3", kind), confusion(metrics["people"], own["confusion"])))
    side = tag("div", *matrices, klass="side") if matrices else None
    return noted("judge", side, table([["judge", ""]], rows) if rows else None)


def confusion(people: list[str], counts: list[list[int]]) -> Safe:
    rows = []
    for person, row in zip(people, counts):
        cells = []
        for count in row:
            share = count / max(1, sum(row))
            shade = f"background: rgba(20, 70, 150, {share:.2f})"
            cells.append(tag("td", count, klass="deep" if share > 0.7 else "pale", style=shade))
        rows.append([person, *cells])
    return table([["", *people]], rows, klass="matrix")


def distances_section(metrics: dict[str, Any]) -> list[Safe]:
    parts = []
    for space, measures in metrics.get("distances", {}).items():
        names = {
            name: tag("th", words(name), tag("small", f" {BETTER.get(name, 'higher')} is better"))
            for name in measures
        }
        parts += [tag("h3", f"Features: {words(space)}"), floor_table("measure", names, measures)]
    return noted("distances", *parts)


def floor_table(head: str, names: Mapping[str, str], measures: dict[str, dict[str, Any]]) -> Safe:
    """Generated beside floor, as figures and drawn; `names` are the rows' headings."""
    rows = []
    for name, pair in measures.items():
        pair = {kind: pair[kind] for kind in ("generated", "floor") if kind in pair}
        cells = (figure_cell(pair.get(kind), name) for kind in ("generated", "floor"))
        rows.append([names[name], *cells, strip(pair, name)])
    return table([[head, "generated", "floor", tag("th", legend_of(("generated", "floor")))]], rows)


def variety_section(metrics: dict[str, Any]) -> list[Safe]:
    return noted("variety", people_table(metrics, variety_columns(metrics)))


def motion_section(metrics: dict[str, Any]) -> list[Safe]:
    measures = metrics.get("kinematics_distance", {})
    names = {name: ", ".join(filter(None, (words(name), own.get("unit")))) for name, own in measures.items()}
    pairs = floor_table("quantity", names, measures) if measures else None
    return noted("motion", pairs, people_table(metrics, motion_columns(metrics)))


def verdict_section(metrics: dict[str, Any]) -> list[Safe]:
    verdict = metrics.get("verdict", {})
    arms, parts = verdict.get("arms", {}), []
    if "sentence" in verdict:
        parts.append(tag("p", tag("b", f"{verdict.get('primary', 'all')}: {verdict['sentence']}.")))
    plain = [f"{name} {number(verdict[name])}" for name in ("seeds", "steps") if name in verdict]
    parts += [tag("p", "Of each classifier: ", ", ".join(plain), klass="note")] if plain else []
    if arms:
        rows = [
            [arm, figure_cell(own, "accuracy"), strip({"accuracy": own}, "accuracy")]
            for arm, own in arms.items()
        ]
        parts.append(table([["trained on", "accuracy on held-out real pictures", "0 to 100%"]], rows))
    columns = [
        Column("accuracy", arm, "", own["per_person"], own)
        for arm, own in arms.items()
        if "per_person" in own
    ]
    parts += difference_tables("trained on", verdict.get("differences", {}))
    return noted("verdict", *parts, people_table(metrics, columns))


def difference_tables(head: str, differences: dict[str, dict[str, Any]]) -> list[Safe]:
    """Paired differences in accuracy, and what may be said of them: in all, then of each person."""
    if not differences:
        return []
    rows = []
    for name, own in differences.items():
        seeds = said({"value": None, "interval": own.get("seed_interval")}, "accuracy")[1]
        single = ", ".join(number(value, percent=True) for value in own.get("by_seed", ()))
        rows.append(
            [
                name,
                own.get("reference", "-"),
                figure_cell(own, "accuracy"),
                tag("td", seeds or "-", tag("small", single)),
                sentence_cell(own.get("sentence")),
            ]
        )
    parts = [table([[head, "against", "difference in points", "over seeds", "verdict"]], rows)]
    split = {name: own["per_person"] for name, own in differences.items() if own.get("per_person")}
    people = dict.fromkeys(person for own in split.values() for person in own)
    rows = [[person, *(sentence_cell(own.get(person)) for own in split.values())] for person in people]
    return [*parts, table([["verdict by person", *split]], rows)] if split else parts


def sentence_cell(sentence: str | None) -> Safe:
    kind = (sentence or "").split(" ")[0]
    return tag("td", sentence or "-", klass=kind if kind in ("helps", "harms") else "even")


def few_shot_section(metrics: dict[str, Any]) -> list[Safe]:
    study = metrics.get("few_shot")
    if not study:
        return []
    ticks = {float(place): str(size) for place, size in enumerate(study["sizes"])}
    series = {
        arm: [(float(place), figure) for place, figure in enumerate(figures) if figure]
        for arm, figures in study["arms"].items()
    }
    curves = chart("accuracy on held-out real pictures", series, ticks, "accuracy", "real pictures a person")
    rows = [
        [arm, *(figure_cell(figure, "accuracy") for figure in figures)]
        for arm, figures in study["arms"].items()
    ]
    sizes = [f"{size} a person" for size in study["sizes"]]
    pairs = ({"reference": "no generated ones", **own} for own in study.get("differences", ()))
    differences = difference_tables("real pictures", dict(zip(sizes, pairs)))
    return [curves, table([["trained on", *sizes]], rows), *differences]


def tokenizer_section(metrics: dict[str, Any]) -> list[Safe]:
    figures = metrics.get("tokenizer", {})
    rows = [
        [words(name), figure_cell(figure, name) if is_figure(figure) else number(figure)]
        for name, figure in figures.items()
    ]
    whole = table([["reconstruction", ""]], rows) if rows else None
    columns = [
        Column(name, "reconstructed", "", own["per_person"], own)
        for name, own in figures.items()
        if is_figure(own) and "per_person" in own and name not in metrics.get("reconstructed", {})
    ]
    return noted("tokenizer", whole, people_table(metrics, columns))


def sweep_section(metrics: dict[str, Any]) -> list[Safe]:
    sweep = metrics.get("sweep", {})
    settings = sweep.get("settings", [])
    if not settings:
        return []
    names = dict.fromkeys(name for own in settings for name in own)
    measures = [name for name in names if any(is_figure(own.get(name)) for own in settings)]
    chosen = [name for name in names if name not in measures]
    rows = [
        [
            *(number(own.get(name)) for name in chosen),
            *(figure_cell(own.get(name), name) for name in measures),
        ]
        for own in settings
    ]
    real, best = sweep.get("real", {}), sweep.get("recommended")
    rule = tag("p", tag("b", "No setting is recommended. " * ("recommended" in sweep)), sweep.get("rule", ""))
    if best is not None:
        picked = ", ".join(f"{words(name)} {number(settings[best].get(name))}" for name in chosen)
        rule = tag("p", tag("b", f"Recommended: {picked}. "), sweep.get("rule", ""))
        rows[best] = [tag("th", tag("mark", rows[best][0], " *")), *rows[best][1:]]
    if real:
        blank = [""] * (len(chosen) - 1)
        rows.append(["held-out real", *blank, *(figure_cell(real.get(name), name) for name in measures)])
    charts = tag("div", *(sweep_chart(settings, name, real.get(name)) for name in measures), klass="side")
    return [rule, charts, table([[words(name) for name in (*chosen, *measures)]], rows)]


def sweep_chart(settings: list[dict[str, Any]], name: str, real: dict[str, Any] | None) -> Safe:
    """One measure against guidance, a curve for each sampler, and what held-out real pictures come to."""
    known = sorted((own for own in settings if name in own), key=lambda own: own["guidance"])
    series: dict[str, list] = {}
    for own in known:
        series.setdefault(own.get("sampler", "drawn"), []).append((own["guidance"], own[name]))
    ticks = {own["guidance"]: number(own["guidance"]) for own in known}
    series |= {"held-out real": [(edge, real) for edge in (min(ticks), max(ticks))]} if real else {}
    return chart(words(name), series, ticks, name, "guidance scale")


def method_section(metrics: dict[str, Any]) -> list[Safe]:
    """Counts, seeds, versions, digests, seconds; then whatever no section knows."""
    rest = [name for name in metrics if name not in PLAIN and name not in KNOWN]
    rows: Iterable = described({words(name): metrics[name] for name in (*PLAIN, *rest) if name in metrics})
    rows = [[name, tag("td", tag("code", text))] for name, text in rows]
    return [table([["setting", ""]], rows)] if rows else []


SECTIONS = {
    "The judge": judge_section,
    "Distances": distances_section,
    "Variety": variety_section,
    "Kinematics": motion_section,
    "Does it help a classifier?": verdict_section,
    "Few real pictures": few_shot_section,
    "What the tokenizer allows": tokenizer_section,
    "Guidance sweep": sweep_section,
    "How it was measured": method_section,
}
KNOWN = {
    "summary",
    "closest_pairs",
    "units",
    "people",
    "judge",
    *KINDS,
    "distances",
    "diversity",
    "kinematics_distance",
    "verdict",
    "few_shot",
    "tokenizer",
    "sweep",
}
