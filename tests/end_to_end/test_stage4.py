"""Stage 4 on drawn walks: its figures are right where the answer is known, and it does nothing twice."""

import json
import shutil

import numpy
import pytest
from matplotlib import colormaps
from PIL import Image
from tables import rows_of, write_rows
from toy_run import changed, names, output_of, refusal_of, save_tokenizer, snapshot

import stage4_evaluate as stage4
from configs.load import resolve
from configs.version import VERSION
from data.labels import LabelTable
from data.tree import TOLD
from evaluation import augmentation_study
from evaluation.evaluate import tell_unread
from evaluation.features import ImageSet
from evaluation.judge import SmallJudge, train_judge
from stages.evaluate import generators_of

AXES = (-1.2, 5.2, 2.1)
SPEED = {"ID_1": 0.9, "ID_2": 1.5, "ID_10": 2.1}  # m/s; 4 steps in each image
COUNTS = {"train": 8, "val": 4, "test": 4}
JUDGES = {"judge.safetensors", "judge_2.safetensors"}
PAGES = {"report.html", "table.csv", "table.tex"}
PICTURES = {"real_beside_generated.png", "closest_pairs.png", "overlap.png", "first_look.png", "examples.png"}
KINDS = ("real", "generated", "reconstructed")


def walk(speed, rng):
    """256 x 256 RGB in jet: a torso line at `speed` that sways in the rhythm of 4 steps, and leg arcs."""
    phase = 2 * numpy.pi * (4 * (numpy.arange(55) + 0.5) / 55 + rng.random())
    velocity = AXES[0] + (numpy.arange(128)[::-1, None] + 0.5) / 128 * (AXES[1] - AXES[0])
    torso = speed + 0.12 * numpy.sin(phase)
    power = numpy.exp(-0.5 * ((velocity - torso) / 0.08) ** 2)
    legs = torso + 1.5 * numpy.clip(numpy.sin(phase), 0, None)
    power = numpy.maximum(power, 0.5 * ((velocity > 0) & (velocity < legs)) * rng.random(power.shape))
    unit = numpy.clip(0.9 * power + 0.05 * rng.random(power.shape), 0, 1)
    rgb = (colormaps["jet"](unit)[..., :3] * 255).astype(numpy.uint8)
    return Image.fromarray(rgb).resize((256, 256), Image.Resampling.NEAREST)


def write_walks(folder, counts, rng, speeds=SPEED):
    """So many walks of everybody in each part."""
    for part, count in counts.items():
        for person, speed in speeds.items():
            (folder / part / person).mkdir(parents=True)
            for number in range(count):
                walk(speed, rng).save(folder / part / person / f"{number}.png")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Real walks of three people; generated: two new walks each, but ID_10's are ID_2's, and one a copy."""
    folder, rng = tmp_path_factory.mktemp("stage4"), numpy.random.default_rng(0)
    write_walks(folder / "data_split", COUNTS, rng)
    generated = folder / "generated_images"
    generated.mkdir()
    rows = []
    for person, shown in (("ID_1", "ID_1"), ("ID_2", "ID_2"), ("ID_10", "ID_2")):
        for number in (1, 2):
            rows.append({"file": f"{person}_{number}.png", "user": person})
            walk(SPEED[shown], rng).save(generated / rows[-1]["file"])
    copy = numpy.roll(numpy.asarray(Image.open(folder / "data_split/train/ID_1/3.png")), 100, axis=1)
    Image.fromarray(copy).save(generated / "ID_1_2.png")
    write_rows(generated / "samples.csv", rows)
    return folder


@pytest.fixture(scope="module")
def evaluated(data):
    """What stage 4 said of `data`, and the metrics it wrote."""
    more = "--vavae_path", save_tokenizer(data / "W.safetensors"), "--planted"
    said = evaluate(data, data / "report", *more)
    return said, json.loads((data / "report/metrics.json").read_text())


def evaluate(data, out, *more):
    return output_of(stage4.main, *arguments(data, out), "--axes", *AXES, "--judge_seeds", 2, *more)


def arguments(data, out):
    return "--real", data / "data_split", "--generated", data / "generated_images", "--output_dir", out


def test_the_files_and_the_counts(data, evaluated):
    metrics = evaluated[1]
    assert names(data / "report") == {"metrics.json", "run.json", *JUDGES, *PICTURES, *PAGES}
    assert all(Image.open(data / "report" / name).width > 500 for name in PICTURES)
    assert metrics["versions"].keys() == {"python", "torch", "project", "version"}
    assert metrics["versions"]["version"] == VERSION and metrics["seed"] == 0
    assert set(metrics["seconds"]) == {
        "reading",
        "judges",
        "tokenizer",
        "memorisation",
        "distances",
        "planted",
        "pictures",
    }
    assert metrics["people"] == ["ID_1", "ID_2", "ID_10"] and metrics["chance"] == pytest.approx(1 / 3)
    assert metrics["counts"] == {"train": 24, "val": 12, "test": 12, "generated": 6}
    assert metrics["held_out"] == "test" and metrics["inputs"]["seed"] == 0


def test_the_judge_tells_whose_walks_were_drawn(evaluated):
    real, generated = evaluated[1]["real"], evaluated[1]["generated"]
    assert real["judged_right"]["hits"] == real["judged_right"]["count"] == 12
    assert real["confusion"] == [[4, 0, 0], [0, 4, 0], [0, 0, 4]]
    assert generated["confusion"] == [[2, 0, 0], [0, 2, 0], [0, 2, 0]]
    right = generated["judged_right"]
    assert (right["hits"], right["per_person"]["ID_10"]["hits"]) == (4, 0)
    assert right["interval"] == pytest.approx([0.3000, 0.9032], abs=1e-4)
    assert real["negative_log_likelihood"] < generated["negative_log_likelihood"]


def test_what_both_kinds_of_judge_say_is_told_apart(evaluated):
    said, metrics = evaluated
    agreement = metrics["agreement"]
    assert agreement.keys() == {"linear_judge", *KINDS}
    assert (agreement["real"]["both"]["hits"], agreement["real"]["both"]["count"]) == (12, 12)
    assert agreement["generated"]["both"]["per_person"]["ID_10"]["hits"] == 0
    assert agreement["generated"]["both"]["hits"] == agreement["generated"]["network"]["hits"] == 4
    assert agreement["generated"]["network"] == metrics["generated"]["judged_right"]
    assert (
        "named right by both judges: real 100% (76% to 100% of 12), generated 67% (30% to 90% of 6)" in said
    )
    assert "named right by neither judge: real 0% (" in said


def test_a_judge_of_another_network_is_asked_of_whole_images(data, evaluated, tmp_path, monkeypatch):
    monkeypatch.setitem(train_judge.__kwdefaults__, "epochs", 1)
    more = "--judge", "test_resnet", "--judge_seeds", 1, "--vavae_path", data / "W.safetensors"
    said = output_of(stage4.main, *arguments(data, tmp_path / "report"), *more)
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    assert (
        metrics["judge"]["network"] == "test_resnet" and evaluated[1]["judge"]["network"] == "convolutional"
    )
    assert "named right by the test_resnet judge only: real " in said
    assert metrics["tokenizer"]["perceptual"]["value"] > 0
    assert metrics["real"]["judged_right"]["count"] == 12 and set(metrics["distances"]) >= {"judge", "radar"}
    message = refusal_of(stage4.main, *arguments(data, tmp_path / "report"), "--judge_seeds", 1)
    assert "was made with other settings: judge was 'test_resnet', now None" in message
    message = refusal_of(stage4.main, *arguments(data, tmp_path / "new"), "--judge", "resnet")
    assert "--judge resnet: timm knows no such model" in message and not (tmp_path / "new").exists()


def test_the_copy_is_found(evaluated):
    copies = evaluated[1]["generated"]["memorised"]["per_person"]
    assert {person: share["hits"] for person, share in copies.items()} == {"ID_1": 1, "ID_2": 0, "ID_10": 0}
    assert evaluated[1]["real"]["memorised"]["hits"] == 0
    first = evaluated[1]["closest_pairs"][0]
    assert (first["generated"], first["train"]) == ("ID_1_2.png", "ID_1/3.png") and first["ratio"] < 1 / 3


def test_planted_copies_are_found(evaluated):
    said, metrics = evaluated
    kinds = metrics["planted"]["kinds"]
    assert len(kinds) == 7 and {figures["found"]["count"] for figures in kinds.values()} == {24}
    assert {kind for kind, figures in kinds.items() if figures["found"]["share"] < 0.9} == set()
    assert kinds["of a twin"]["by_ratio"]["share"] < 0.5
    assert {name: one["hits"] for name, one in metrics["planted"]["unplanted"].items()} == {
        "generated": 1,
        "held_out": 0,
    }
    assert "planted copies" in said
    test = metrics["data_copying"]
    assert set(test["per_person"]) == set(SPEED) and "three-sample test: C_T " in said
    assert test["per_person"]["ID_1"]["generated"] == 2 and test["reconstructed"] is not None


def test_every_section_has_the_figures_of_the_report(evaluated):
    metrics = evaluated[1]
    assert metrics["judge"]["seeds"] == 2 and 0 <= metrics["judge"]["ece"] < 0.2
    assert metrics["judge"]["held_out_accuracy_by_seed"] == [1.0, 1.0]
    assert metrics["judge"]["generated_accuracy_by_seed"][0] == pytest.approx(4 / 6)
    for kind, count in zip(KINDS, (12, 6, 12)):
        for name in (*metrics["units"], "confidence", *["memorised_latents"] * (kind != "reconstructed")):
            figure = metrics[kind][name]
            assert set(figure["per_person"]) == set(SPEED) and figure["interval"][0] <= figure["interval"][1]
            assert figure["count"] == count or kind == "reconstructed"  # without weights no steps are seen
    for spaces in (metrics["distances"], metrics["diversity"]):
        assert set(spaces) == {"judge", "radar", "latents"}
    for distances in metrics["distances"].values():
        assert all(one["count"] == 6 for both in distances.values() for one in both.values())
    velocity = metrics["kinematics_distance"]["torso_velocity"]
    assert velocity["unit"] == "m/s" and velocity["per_person"]["ID_10"] == pytest.approx(0.6, abs=0.1)
    assert velocity["generated"]["value"] > velocity["floor"]["value"]


def test_the_tokenizer_is_checked(evaluated):
    check = evaluated[1]["tokenizer"]
    assert check["psnr_db"]["count"] == 12 and 0 < check["psnr_db"]["value"] < 20  # freshly drawn weights
    assert check["judged_right"] == evaluated[1]["reconstructed"]["judged_right"]
    assert check["perceptual"]["value"] > 0 and check["perceptual_floor"]["count"] == 9
    assert check["torso_error_mps"]["value"] >= 0 and -1 <= check["ssim"]["value"] < 1


def test_velocities_and_cadences_are_those_drawn(evaluated):
    for kind, shown, count in (("real", SPEED, 4), ("generated", {**SPEED, "ID_10": SPEED["ID_2"]}, 2)):
        for person, speed in shown.items():
            velocity = evaluated[1][kind]["torso_velocity"]["per_person"][person]
            assert velocity["mean"] == pytest.approx(speed, abs=0.06) and velocity["count"] == count
            cadence = evaluated[1][kind]["cadence"]["per_person"][person]
            assert cadence["mean"] == pytest.approx(4 / AXES[2], rel=0.05)


def test_the_table_names_every_person(evaluated):
    lines = evaluated[0].splitlines()
    row = next(line for line in lines if line.split()[:1] == ["ID_10"])
    assert "100% / 0%" in row and "2.1" in row and "1.5" in row
    assert any(line.startswith("judged right: real 100%") for line in lines)
    assert any("memorised: real 0%" in line and "generated 17%" in line for line in lines)
    assert lines[-2 - len(evaluated[1]["summary"]) : -2] == evaluated[1]["summary"]


def test_again_measures_nothing(data, evaluated):
    before = snapshot(data / "report")
    said = evaluate(data, data / "report", "--vavae_path", data / "W.safetensors", "--planted")
    looked, *rest = evaluated[0].splitlines()
    assert "skipped" in said and [looked, *said.splitlines()[2:]] == [looked, *rest]
    assert snapshot(data / "report") == before


def test_figures_of_another_version_of_the_project_are_measured_anew(data, evaluated, tmp_path):
    out = shutil.copytree(data / "report", tmp_path / "report")
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["inputs"]["version"] == VERSION
    (out / "metrics.json").write_text(
        json.dumps({**metrics, "inputs": {**metrics["inputs"], "version": "0"}})
    )
    assert "skipped" not in evaluate(data, out, "--vavae_path", data / "W.safetensors", "--planted")
    again = json.loads((out / "metrics.json").read_text())
    assert {**again, "seconds": 0} == {**evaluated[1], "seconds": 0}


@pytest.mark.parametrize("form", ["people", "hub"])
def test_the_same_images_give_the_same_bits_in_another_form(data, evaluated, tmp_path, form):
    out, given = shutil.copytree(data / "report", tmp_path / "report"), tmp_path / form
    rows = rows_of(data / "generated_images/samples.csv")
    for row in rows:
        copied = given / {"people": row["user"], "hub": "train/images"}[form] / row["file"]
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "generated_images" / row["file"], copied)
    if form == "hub":
        lines = [
            "file_name,text,label",
            *(f"images/{row['file']},a walk,{row['user']}" for row in rows[::-1]),
        ]
        (given / "train/metadata.csv").write_text("\n".join(lines))
    shutil.copy(data / "generated_images/ID_1_1.png", given / "stray.png")
    for name in ("metrics.json", *PAGES, *PICTURES):
        (out / name).unlink()
    said = evaluate(data, out, "--vavae_path", data / "W.safetensors", "--planted", "--generated", given)
    assert "read 6 generated images, left out 1" in said and "(stray.png)" in said
    metrics = json.loads((out / "metrics.json").read_text())
    assert {**metrics, "seconds": 0} == {**evaluated[1], "seconds": 0}
    for name in PICTURES:
        assert (out / name).read_bytes() == (data / "report" / name).read_bytes()


@pytest.fixture(scope="module")
def compared(data, evaluated, tmp_path_factory):
    """A report on the generator of `data` and one of new walks of everybody, by the judges that are there."""
    out, rng = tmp_path_factory.mktemp("compared"), numpy.random.default_rng(7)
    write_walks(out, {"other": 5}, rng)
    shutil.copytree(data / "report", out / "report")
    (out / "report/metrics.json").unlink()
    said = evaluate(data, out / "report", *several(data, out))
    return out, said, json.loads((out / "report/metrics.json").read_text())


def several(data, out):
    given = f"--planted --vavae_path {data}/W.safetensors --generated a={data}/generated_images {out}/other"
    return (given,)


def test_of_several_generators_each_has_the_figures_that_it_has_alone(compared, data, evaluated):
    out, said, metrics = compared
    assert list(metrics["generators"]) == ["a", "other"] and "generated" not in metrics
    assert metrics["counts"] == {"train": 24, "val": 12, "test": 12, "a": 6, "other": 15}
    figures = json.loads((out / "report/a/metrics.json").read_text())
    run = ("seconds", "inputs")
    assert {**figures, **dict.fromkeys(run)} == {**evaluated[1], **dict.fromkeys(run)}
    for name in PICTURES:
        assert (out / "report/a" / name).read_bytes() == (data / "report" / name).read_bytes()
    assert names(out / "report/other") == {"metrics.json", *PICTURES, *PAGES}
    row = next(line.split() for line in said.splitlines() if line.split()[:1] == ["ID_10"])
    assert row[1:6] == ["100%", "/", "0%", "/", "100%"]
    assert f"{out / 'other'}: read 15 generated images, left out 0" in said


def test_of_several_generators_differences_and_tests_are_told(compared):
    out, said, metrics = compared
    (pair,) = metrics["comparison"]["pairs"]
    assert pair["generators"] == ["a", "other"] and metrics["comparison"]["count"] == 6
    right = pair["shares"]["judged_right"]
    assert (right["value"], right["count"]) == (pytest.approx(-2 / 6), 6)
    assert set(pair["tests"]) == set(pair["distances"]) == {"judge", "radar", "latents"}
    assert metrics["summary"] == [pair["sentence"]] and pair["sentence"] in said
    page = (out / "report/report.html").read_text()
    assert 'href="a/report.html"' in page and "Which generator is closer?" in page and "a minus other" in page
    row = next(row for row in rows_of(out / "report/table.csv") if row["person"] == "ID_10")
    assert [row[f"judged right {kind}"] for kind in ("real", "a", "other")] == ["1.0", "0.0", "1.0"]
    sheet = Image.open(out / "report/generators_beside_real.png")
    assert sheet.height == 9 * 132 + 4


def test_several_generators_are_measured_once_and_clear_or_refused(compared, data, tmp_path):
    out, before = compared[0], snapshot(compared[0])
    assert "skipped" in evaluate(data, out / "report", *several(data, out)) and snapshot(out) == before
    one, other = data / "generated_images", out / "other"

    def refused(*folders):
        given = "--real", data / "data_split", "--output_dir", tmp_path / "out", "--generated", *folders
        return refusal_of(stage4.main, *given, unchanged=tmp_path)

    assert "is given twice" in refused(one, f"{one}/")
    assert f"two are called {other.name}; name them by" in refused(f"{other.name}={one}", other)
    assert "'held_out' can be no generator's name" in refused(f"held_out={one}", other)
    assert "absent: no such folder" in refused(one, "b=absent")
    assert "--sweep: belongs to one generator" in refused(one, other, "--sweep", "sweep.json")
    (tmp_path / "sweep.json").write_text('{"settings": [{"guidance": "2"}], "rule": ""}')
    wrong = refused(one, "--sweep", tmp_path / "sweep.json")
    assert "expected sweep.json of stage4_evaluate.py sweep, found guidance is no number" in wrong


def test_without_axes_in_bins_and_with_the_judge_that_is_there(data, evaluated, tmp_path):
    out = shutil.copytree(data / "report", tmp_path / "report")
    before = snapshot(out)
    output_of(stage4.main, *arguments(data, out), "--judge_seeds", 1)
    assert changed(before, snapshot(out)) == {"metrics.json", *PICTURES, *PAGES}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["generated"]["confusion"] == evaluated[1]["generated"]["confusion"]
    means = [metrics["real"][name]["per_person"]["ID_2"]["mean"] for name in ("torso_velocity", "cadence")]
    assert not {"tokenizer", "reconstructed"} & metrics.keys() and "latents" not in metrics["distances"]
    assert means[0] == pytest.approx((SPEED["ID_2"] - AXES[0]) / 0.05, abs=1.5)
    assert means[1] == pytest.approx(4, rel=0.05)


def test_another_seed_needs_another_folder(data, evaluated):
    out = data / "report"
    assert "seed was 0, now 1" in refusal_of(stage4.main, *arguments(data, out), "--seed", "1", unchanged=out)


@pytest.mark.parametrize("axes", [("1", "5"), ("5", "1", "2"), ("-1", "5", "0")])
def test_axes_that_are_none_are_refused(data, tmp_path, axes):
    given = (*arguments(data, tmp_path / "out"), "--axes", *axes)
    assert "like -1.2 5.2 2.1" in refusal_of(stage4.main, *given, unchanged=tmp_path)


@pytest.mark.parametrize("name", ["vavae_path", "inception", "dinov2"])
def test_files_of_networks_that_are_not_there_are_refused(data, tmp_path, name):
    given = (*arguments(data, tmp_path / "out"), f"--{name}", "absent.pt")
    assert f"--{name} absent.pt: no such file" in refusal_of(stage4.main, *given, unchanged=tmp_path)
    (tmp_path / "W.pt").write_bytes(b"no weights")
    given = (*arguments(data, tmp_path / "out"), f"--{name}", tmp_path / "W.pt")
    assert "W.pt: " in refusal_of(stage4.main, *given)
    assert not list(tmp_path.rglob("judge*"))  # before any work


def test_inputs_that_do_not_serve_are_refused(data, tmp_path):
    def refused(real, generated):
        given = ("--real", real, "--generated", generated, "--output_dir", tmp_path / "out")
        return refusal_of(stage4.main, *given, unchanged=tmp_path)

    real, generated = data / "data_split", data / "generated_images"
    (tmp_path / "images").mkdir()
    assert "holds no image" in refused(real, tmp_path / "images")
    assert "absent: no such folder" in refused(real, tmp_path / "absent")
    assert "no train folder inside" in refused(generated, generated)
    shutil.copytree(real / "train", tmp_path / "alone/train")
    assert "parts: train" in refused(tmp_path / "alone", generated)
    (tmp_path / "images/samples.csv").write_text("file,user\na.png,ID_7\n")
    assert "ID_7; expected some of ID_1, ID_2, ID_10" in refused(real, tmp_path / "images")
    (tmp_path / "images/samples.csv").write_text("file,user\na.png,ID_1\n")
    assert "a.png" in refused(real, tmp_path / "images")


def test_images_of_people_left_out_are_told_as_such(data):
    given = {
        "real": str(data / "data_split"),
        "generated": [str(data / "generated_images")],
        "leave_out": ["ID_10"],
    }
    config = resolve(("evaluate",), {"evaluate": given})["evaluate"]
    (images,) = generators_of(config, LabelTable(("ID_1", "ID_2")), []).values()
    assert {record.user for record in images.records} == {"ID_1", "ID_2"} and not images.unrecorded
    assert {path.split("/")[0] for path in images.left_out[TOLD]} == {"ID_10"}


def test_another_day_is_told_apart(data, tmp_path, monkeypatch):
    """val is of the day of train, test of another, on which ID_10 walks as ID_2 does."""
    real = shutil.copytree(data / "data_split", tmp_path / "data_split")
    rng = numpy.random.default_rng(1)
    for number in range(COUNTS["test"]):
        walk(SPEED["ID_2"], rng).save(real / f"test/ID_10/{number}.png")
    rows = []
    for name in sorted(names(real, "*.png")):  # those of test first
        part, person, _ = name.split("/")
        row = {
            "path": "",
            "user": person,
            "split": part,
            "day": "tue" if part == "test" else "mon",
            "file": name,
        }
        rows.append(row | ({"recording": name[-5] in "01"} if part == "test" else {}))
    write_rows(real / "split.csv", rows)
    given = "--real", real, "--generated", data / "generated_images", "--output_dir", tmp_path / "report"
    said = output_of(stage4.main, *given, "--judge_seeds", 1)
    metrics = json.loads((tmp_path / "report/metrics.json").read_text())
    day = metrics["groups"]["day"]
    assert [day[kind]["judged_right"]["hits"] for kind in ("same", "other")] == [12, 8]
    assert day["other"]["judged_right"]["per_person"]["ID_10"]["hits"] == 0
    assert "same day 100% (76% to 100% of 12), other day 67%" in said
    assert "Same day, other day" in (tmp_path / "report/report.html").read_text()
    (real / "split.csv").write_text((real / "split.csv").read_text().replace("tue", "mon"))
    # other groups: measured again, now with the augmentation study, of classifiers that learn nothing
    monkeypatch.setattr(
        augmentation_study, "train_classifier", lambda pool, people, *_: SmallJudge(people).eval()
    )
    study = "--judge_seeds", 1, "--verdict", "--verdict_seeds", 2, "--axes", *AXES
    said = output_of(stage4.main, *given, *study)
    verdict = json.loads((tmp_path / "report/metrics.json").read_text())["verdict"]
    assert "skipped" not in said and "(2 seeds, a sign-flip test takes 6)" in said
    assert verdict["pieces"] == 6 and "real + physical" in verdict["arms"]
    assert "from 6 days or recordings" in (tmp_path / "report/report.html").read_text()


def test_images_without_motion_that_can_be_read_are_counted(evaluated, capsys):
    still = ImageSet(numpy.zeros((3, 1)), numpy.zeros(3), numpy.full((3, 6), numpy.nan), numpy.zeros((3, 1)))
    moving = still._replace(motion=numpy.ones((3, 6)))
    tell_unread({"train": still, "held_out": moving})
    assert "no motion could be read in 3 of 6 real images" in capsys.readouterr().out
    tell_unread({"train": moving, "held_out": moving})
    assert not capsys.readouterr().out and "no motion could be read" not in evaluated[0]
