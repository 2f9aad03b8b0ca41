"""What the page shows of an image is what the other commands give of it; and what it refuses."""

import base64
import io
import re
import shlex
import socket
from html import unescape
from types import SimpleNamespace

import numpy
import pytest
from conftest import PROJECT
from PIL import Image
from toy_run import output_of, refusal_of

import playground.__main__ as command
import stage3_inference
from configs.dry_run import LAST_LINE
from configs.schema import PlaygroundConfig
from data.conditions import Conditions
from data.images import find_images, open_rgb
from data.labels import LabelTable
from evaluation.judge import SmallJudge, reduced
from evaluation.selection import Selector
from playground.drawing import NO_CONDITION, SIDE, Drawing, ranked, ticks
from radar.kinematics import from_image

ASKED = dict(condition=NO_CONDITION, guidance=4.0, steps=2, seed=7)


def settings(toy, **more):
    return PlaygroundConfig(model=str(toy.lively), vavae_path=str(toy.tokenizer), device="cpu", **more)


def judge_of(path, *people):
    """A selecting judge that learnt nothing."""
    nothing = numpy.zeros((2, 64, 64), "f4"), numpy.zeros((2, 6)), "jet", []
    Selector(SmallJudge(len(people)), LabelTable(people), {}, *nothing).save(path)
    return str(path)


@pytest.fixture(scope="module")
def drawing(toy, tmp_path_factory):
    judge = judge_of(tmp_path_factory.mktemp("judge") / "judge.safetensors", "ID_1", "ID_2")
    return Drawing.load(settings(toy, judge=judge, real=str(toy.data)))


def downloads(html, name):
    content = re.search(rf'download="{name}" href="data:[^,]*,([^"]*)"', html)[1]
    return io.BytesIO(base64.b64decode(content))


def test_what_is_drawn_and_downloaded_is_what_the_shown_command_writes(drawing, tmp_path):
    html = drawing.draw(["ID_10", "ID_1"], **ASKED)
    shown = " ".join(re.sub("<[^>]*>", "", re.search(r"<code>(.*)</code>", html, re.S)[1]).split())
    program, script, *arguments = shlex.split(unescape(shown))
    assert (program, script) == ("python", "stage3_inference.py")
    output_of(stage3_inference.main, *arguments, "--device", "cpu", "--arrays", "--output_dir", tmp_path)
    for name, file in (("ID_10", "user10"), ("ID_1", "user01")):
        written = tmp_path / f"micro_doppler_{file}_001.png"
        images = [numpy.asarray(Image.open(one)) for one in (downloads(html, f"{name}.png"), written)]
        assert (images[0] == images[1]).all()
        with (
            numpy.load(downloads(html, f"{name}.npz")) as one,
            numpy.load(written.with_suffix(".npz")) as other,
        ):
            assert set(one) == set(other) and all((one[key] == other[key]).all() for key in other)


def test_torso_and_cadence_are_those_that_stage_4_measures(drawing, toy):
    image = numpy.asarray(open_rgb(find_images(toy.images).records[0]))
    axes = drawing.axes_of(image[None])
    kinematics = from_image(image, axes.scales(), axes.colour_map)
    assert (
        numpy.isfinite(kinematics.torso_mps).all()
        and axes.lowest_mps < kinematics.torso_velocity_mps < axes.highest_mps
    )
    html = drawing.draw(["ID_1"], **ASKED)
    drawn = numpy.asarray(Image.open(downloads(html, "ID_1.png")))
    measured = from_image(drawn, axes.scales(), axes.colour_map)
    assert f"{measured.torso_velocity_mps:.2f} m/s" in html
    first = re.search(r'class="torso" points="([\d.]+),([\d.]+) ', html)
    height = axes.highest_mps - float(first[2]) / SIDE * (axes.highest_mps - axes.lowest_mps)
    assert height == pytest.approx(measured.torso_mps[0], abs=0.01)
    assert 'class="torso"' not in drawing.draw(["ID_1"], **ASKED, torso=False)


def test_a_training_image_is_its_own_nearest_one(drawing):
    record = drawing.training[5]
    said = drawing.compared("ID_1", reduced(open_rgb(record)))
    assert (said["nearest"], said["ratio"]) == (record.relative, 0)


def test_the_likeliest_people_are_named_and_the_one_asked_for():
    shares = {"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.15, "e": 0.05}
    assert ranked(shares, "b") == [("b", 0.5), ("c", 0.2), ("d", 0.15)]
    assert ranked(shares, "e") == [("b", 0.5), ("c", 0.2), ("d", 0.15), ("e", 0.05)]
    assert ranked(shares, "stranger") == ranked(shares, "b")


def test_ticks_are_round_numbers_within_the_axis():
    assert ticks(-4.0, 4.0) == [(32.0 * place, f"{place - 4}") for place in range(9)]
    assert ticks(0.0, 2.1)[-1] == (pytest.approx(SIDE * 2 / 2.1), "2")


def test_people_and_conditions_are_chosen_apart(drawing):
    conditions = Conditions.from_folders(LabelTable(("ID_1_bag", "ID_2_bag", "ID_2")), "_[a-z]+$")
    model = SimpleNamespace(people=conditions.labels.names, conditions=conditions)
    several = Drawing(drawing.config, model, None, [], numpy.zeros(0))
    assert (several.people, several.conditions) == (["ID_1", "ID_2"], [NO_CONDITION, "bag"])
    assert several.named["ID_1", "bag"] == "ID_1_bag" and several.named["ID_2", NO_CONDITION] == "ID_2"
    assert drawing.people == ["ID_1", "ID_2", "ID_10"] and drawing.conditions == [NO_CONDITION]


def test_what_is_not_shown_is_said(toy):
    html = Drawing.load(settings(toy)).draw(["ID_1"], **ASKED)
    said = " ".join(re.sub("<[^>]*>", "", unescape(html)).split())
    assert (
        "Not shown: a judge's probabilities require --judge; the nearest training image requires --real"
        in said
    )


def test_names_are_text_not_markup(drawing):
    name = "<b>&1"
    model = SimpleNamespace(
        people=(name,),
        conditions=None,
        axes=None,
        precision="32",
        draw=lambda *_, **__: numpy.zeros((1, 256, 256, 3), "u1"),
    )
    html = Drawing(drawing.config, model, None, [], numpy.zeros(0)).draw([name], **ASKED)
    assert "<b>" not in html and "&lt;b&gt;&amp;1" in html


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (lambda toy, work: ("--real", work), "no train folder inside"),
        (
            lambda toy, work: ("--judge", judge_of(work / "j.safetensors", "Ann")),
            "people: Ann; expected some of ID_1",
        ),
        (lambda toy, work: ("--judge", toy.tokenizer), "not a selecting judge"),
        (lambda toy, work: ("--model", work / "absent.pt"), "absent.pt"),
        (lambda toy, work: ("--host", "192.0.2.1"), "give another --port, or --host"),
        (lambda toy, work: ("--axes", 3, 1, 2), "expected the lowest and the highest velocity"),
    ],
)
def test_refusals_are_one_line(more, said, toy, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "require_gradio", lambda: None)
    networks = "--model", toy.lively, "--vavae_path", toy.tokenizer
    assert said in refusal_of(command.main, *networks, *more(toy, tmp_path), "--dry_run")


def test_a_port_that_is_taken_is_refused(monkeypatch):
    monkeypatch.setattr(command, "require_gradio", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = refusal_of(command.main, "--port", server.getsockname()[1])
    assert "Address already in use" in said and "give another --port" in said


def test_a_dry_run_serves_nothing(toy, monkeypatch):
    monkeypatch.setattr(command, "require_gradio", lambda: None)
    said = output_of(command.main, "--model", toy.lively, "--vavae_path", toy.tokenizer, "--dry_run")
    assert "would serve a page at http://127.0.0.1:7860" in said and said.endswith(f"{LAST_LINE}\n")


@pytest.mark.parametrize("installed", ["5.49.1", "6.19.0", None])
def test_without_a_gradio_that_asks_no_other_host_the_way_to_get_it_is_told(monkeypatch, installed):
    def version(name):
        if installed is None:
            raise command.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(command, "version", version)
    said = refusal_of(command.main)
    assert (
        f"requires Gradio 6.20 or newer, found {installed or 'none'}: pip install -r requirements-play"
        in said
    )
    monkeypatch.setattr(command, "version", lambda name: "6.20.0")
    command.require_gradio()
    assert "gradio>=6.20\n" in (PROJECT / "requirements-playground.txt").read_text()
