"""Selection from end to end: the judge that chooses, what stage 3 keeps, who may score it; and the sweep."""

import json
import shutil
from dataclasses import replace

import numpy
import pytest
from PIL import Image
from tables import rows_of, write_rows
from test_stage4 import write_walks
from toy_run import EXACT, changed, digest_of, names, output_of, refusal_of, snapshot

import stage3_inference as stage3
import stage4_evaluate as stage4
from evaluation import measure
from evaluation.judge import train_judge
from evaluation.selection import Selector

pytestmark = pytest.mark.usefixtures("brief_judges")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Walks of the toy's three people."""
    folder = tmp_path_factory.mktemp("real") / "data_split"
    write_walks(folder, {"train": 12, "val": 8, "test": 4}, numpy.random.default_rng(0))
    return folder


@pytest.fixture(scope="module")
def judge(real):
    path = real.parent / "selector/judge.safetensors"
    said = output_of(stage4.main, "judge", "--real", real, "--output_dir", path.parent)
    assert "learnt from 15 images" in said and "of 9 held-out" in said  # 5 of 12, 3 of 8
    assert "skipped" in output_of(stage4.main, "judge", "--real", real, "--output_dir", path.parent)
    return path


def lenient(judge, path, **bounds):
    """The same judge with bounds that pass nearly everything, so that the toy's noise has a chance."""
    selector = Selector.load(judge)
    unknown = numpy.full((9, selector.motion.shape[1]), numpy.nan)
    wide = numpy.concatenate([selector.motion + 1e3, selector.motion - 1e3, unknown])
    low = {"confidence": 0.0, "novelty": 0.0, "near": 0.0, **bounds}
    replace(selector, bounds=low, motion=wide).save(path)
    return path


def select(toy, out, selector, *more):
    return output_of(stage3.main, *arguments(toy, out, selector), *more)


def arguments(toy, out, selector):
    drawing = "--num_steps", "2", "--batch_size", "2", *EXACT
    return (*toy.networks, "--output_dir", out, "--select", selector, *drawing)


TABLES = ("samples.csv", "metadata.csv", "selection.csv")


@pytest.fixture(scope="module")
def selected(toy, judge):
    """Three images of two people each, by a judge that passes all."""
    out = judge.parents[1] / "selected"
    said = select(
        toy, out, lenient(judge, judge.with_name("lenient.safetensors")), "--keep 3 --user_ids 1 10"
    )
    assert "ID_1: kept 3 of 3 drawn" in said and "ID_10: kept 3 of 3 drawn" in said
    return out


def test_the_judge_s_file_says_what_it_was_trained_on(real, judge):
    files = {
        digest_of(path)
        for part in ("train", "val")
        for path in (real / part).rglob("*.png")
        if int(path.stem) < (5 if part == "train" else 3)
    }
    selector = Selector.load(judge)
    assert set(selector.training_files) == files and len(files) == len(selector.motion) == 15 + 9


def test_what_is_kept_is_told_in_every_file(judge, selected):
    kept = {f"micro_doppler_user{user}_{k:03d}.png" for user in ("01", "10") for k in (1, 2, 3)}
    assert names(selected) == kept | {"micro_doppler_grid.png", *TABLES, "run.json"}
    samples, decided = rows_of(selected / "samples.csv"), rows_of(selected / "selection.csv")
    assert {row["file"] for row in samples} == {row["file"] for row in decided} == kept
    assert {row["selector"] for row in samples} == {digest_of(judge.with_name("lenient.safetensors"))}
    inside = json.loads(Image.open(selected / "micro_doppler_user10_002.png").info["micro_doppler"])
    assert inside["selector_training"] == samples[0]["selector_training"] and len(inside["selector"]) == 64


def test_more_of_them_go_on_where_the_first_stopped(toy, selected, tmp_path, judge):
    out = shutil.copytree(selected, tmp_path / "images")
    selector, before = judge.with_name("lenient.safetensors"), snapshot(out)
    asked = "--user_ids", "1", "10", "--keep"
    select(toy, out, selector, *asked, "3")
    assert snapshot(out).keys() == before.keys()
    assert not [name for name in changed(before, snapshot(out)) if name.startswith("micro_doppler_user")]
    (out / "micro_doppler_user01_002.png").unlink()  # what is gone is drawn again, the same
    select(toy, out, selector, *asked, "4")
    after = snapshot(out)
    added = {name for name in after if name not in before}
    assert added == {"micro_doppler_user01_004.png", "micro_doppler_user10_004.png"}
    again = "micro_doppler_user01_002.png"
    old, new = (numpy.asarray(Image.open(folder / again)).astype(int) for folder in (selected, out))
    assert numpy.abs(old - new).max() <= 1 and len(rows_of(out / "selection.csv")) == 8


def test_a_strict_judge_keeps_nothing_and_says_so(toy, judge, tmp_path):
    strict = lenient(judge, tmp_path / "strict.safetensors", confidence=1.01)
    said = select(toy, tmp_path / "images", strict, "--keep", "2", "--user_ids", "2", "--attempts", "2")
    assert "ID_2: kept 0 of 4 drawn (not the person 4" in said and "raise --attempts" in said
    assert names(tmp_path / "images") == {*TABLES, "run.json"}


def test_selection_is_refused_where_it_cannot_be(toy, judge, selected, tmp_path, real):
    asked = arguments(toy, selected, judge)
    assert "select was" in refusal_of(stage3.main, *asked, unchanged=selected)
    alone = refusal_of(stage3.main, *arguments(toy, tmp_path / "x", judge)[:6], "--keep", "3")
    assert "--keep 3: --keep requires --select" in alone
    shutil.copytree(real / "train/ID_1", tmp_path / "data/train/ID_1")
    shutil.copytree(real / "train/ID_2", tmp_path / "data/train/ID_5")
    shutil.copytree(real / "val/ID_1", tmp_path / "data/val/ID_1")
    shutil.copytree(real / "val/ID_2", tmp_path / "data/val/ID_5")
    output_of(stage4.main, "judge", "--real", tmp_path / "data", "--output_dir", tmp_path / "two")
    message = refusal_of(stage3.main, *arguments(toy, tmp_path / "x", tmp_path / "two/judge.safetensors"))
    assert "knows ID_1, ID_5, asked for are ID_2, ID_10" in message and not (tmp_path / "x").exists()


def test_the_other_half_scores_what_was_selected(real, selected, tmp_path, monkeypatch):
    learnt = []

    def noted(images, labels, *more, val, build):
        learnt.append((len(images), len(val[0])))
        return train_judge(images, labels, *more, val=val, build=build)

    monkeypatch.setattr(measure, "train_judge", noted)
    folders = "--real", real, "--generated", selected, "--output_dir", tmp_path / "report"
    said = output_of(stage4.main, *folders, "--judge_seeds", "1")
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert learnt == [(12, 9)] and metrics["selected"] and metrics["counts"]["val"] == 9
    assert metrics["counts"]["train"] == 36 and "what passed a selecting judge" in said


def test_a_judge_that_may_share_pictures_is_refused(real, selected, judge, tmp_path):
    def refused(real, generated, out=tmp_path / "report"):
        given = ("--real", real, "--generated", generated, "--output_dir", out)
        return refusal_of(stage4.main, *given)

    other = shutil.copytree(real, tmp_path / "other")
    (other / "train/ID_1/0.png").unlink()
    assert "selected by a judge that was not trained on the first half of --real" in refused(other, selected)
    report = tmp_path / "report"  # a folder whose judge learnt from everything scores no selected images
    report.mkdir()
    plain = shutil.copytree(selected, tmp_path / "plain")
    rows = [{**row, "selector_training": ""} for row in rows_of(plain / "samples.csv")]
    write_rows(plain / "samples.csv", rows)
    given = "--real", real, "--generated", plain, "--output_dir", report, "--judge_seeds", "1"
    output_of(stage4.main, *given)
    assert "real.selector_training was None" in refused(real, selected)
    shutil.copy(judge, report / "judge.safetensors")  # in the place of the one that scores
    (report / "metrics.json").unlink()
    assert "does not fit the judge" in refused(real, plain)
    rows[0]["selector_training"] = "0" * 64
    write_rows(plain / "samples.csv", rows)
    assert "selected ones among others" in refused(real, plain)


def test_the_sweep_draws_and_scores_every_setting(toy, real, tmp_path):
    settings = "--guidance 1 4 --samplers euler --restarts 0 1 --num_samples_per_user 2 --num_steps 2"
    said = output_of(stage4.main, f"sweep --real {real} --output_dir {tmp_path}", *toy.networks, settings)
    sweep = json.loads((tmp_path / "sweep.json").read_text())
    settings = [(setting["sampler"], setting["guidance"]) for setting in sweep["settings"]]
    once = "euler, 1 restarts"
    assert settings == [("euler", 1), ("euler", 4), (once, 1), (once, 4)]
    assert [setting["judged_right"]["count"] for setting in sweep["settings"]] == [6] * 4
    assert all(setting["kid"]["value"] is not None for setting in sweep["settings"])
    assert sweep["rule"] in said and (tmp_path / "sweep.png").is_file()
    assert len(names(tmp_path, "micro_doppler_user*.png")) == 4 * 6


def test_the_sweep_chooses_among_networks_that_draw_the_same_people(toy, real, tmp_path):
    """One under two names gives the same figures."""
    again = shutil.copy(toy.lively, tmp_path / "again.safetensors")
    networks = "--dit_checkpoint", toy.lively, "--checkpoints", again, "--vavae_path", toy.tokenizer
    few = "--guidance 2 --samplers euler --num_steps 2 --num_samples_per_user 2"
    said = output_of(stage4.main, f"sweep --real {real} --output_dir {tmp_path}/sweep", *networks, few)
    first, second = json.loads((tmp_path / "sweep/sweep.json").read_text())["settings"]
    assert first.pop("sampler") == f"euler, {toy.lively}" and second.pop("sampler") == f"euler, {again}"
    assert first == second and f"euler, {again}" in said


def test_the_sweep_and_stage_4_agree_on_the_same_images(toy, real, tmp_path):
    """To the last digit; images that an earlier, larger sweep left count in neither."""
    settings = f"--guidance 2 --samplers euler --num_steps 2 --output_dir {tmp_path}/sweep"
    given = f"sweep --real {real}", *toy.networks, settings
    report = tmp_path / "report"
    output_of(stage4.main, *given, "--num_samples_per_user", "4")
    folders = "--real", real, "--generated", tmp_path / "sweep/euler_2_2", "--output_dir", report
    output_of(stage4.main, *folders, "--judge_seeds", "1")
    sweep, metrics = (
        json.loads(path.read_text()) for path in (tmp_path / "sweep/sweep.json", report / "metrics.json")
    )
    near = metrics["distances"]["judge"]
    drawn, usual = (sweep["settings"][0], "generated", "generated"), (sweep["real"], "real", "floor")
    for figures, kind, other in (drawn, usual):
        assert {name: figures[name] for name in ("kid", "coverage")} == {
            name: near[name][other] for name in ("kid", "coverage")
        }
        for name in ("judged_right", "memorised", "impossible"):
            assert figures[name] == metrics[kind][name]
    output_of(stage4.main, *given, "--num_samples_per_user", "2")
    (fewer,) = json.loads((tmp_path / "sweep/sweep.json").read_text())["settings"]
    assert fewer["judged_right"]["count"] == fewer["kid"]["count"] == 6


def test_a_sweep_of_people_who_are_not_in_the_data_draws_nothing(toy, real, tmp_path):
    shutil.copytree(real, tmp_path / "data", ignore=shutil.ignore_patterns("ID_2"))
    given = ("sweep", "--real", tmp_path / "data", *toy.networks, "--output_dir", tmp_path / "sweep")
    assert "draws ID_2; expected people of --real" in refusal_of(stage4.main, *given)
    assert not (tmp_path / "sweep").exists()
