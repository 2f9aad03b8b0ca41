"""A study shows what it should, keeps every answer, and refuses what is not its own."""

import re

import pytest
from tables import rows_of
from toy_run import PEOPLE, copy_of, output_of, refusal_of, snapshot

import playground.__main__ as command
from configs.dry_run import LAST_LINE
from configs.errors import UserError
from configs.schema import PlaygroundConfig
from playground.detection import GENERATED, KIND, REAL, WHICH
from playground.user_study import REFERENCES, Answers, make_trials, open_study

TRIALS = 6


@pytest.fixture
def material(toy):
    return open_study(PlaygroundConfig(study=str(toy.images), real=str(toy.data), trials=TRIALS))[0]


@pytest.fixture
def trials(material):
    return make_trials(material, TRIALS, seed=0)


def flags(toy, out, *more):
    return "--study", toy.images, "--real", toy.data, "--trials", TRIALS, "--output_dir", out, *more


@pytest.fixture(autouse=True)
def no_gradio(monkeypatch):
    """Not needed by these, nor missed."""
    monkeypatch.setattr(command, "require_gradio", lambda: None)


def test_each_question_has_as_many_of_each_kind_and_person(material, trials):
    assert [trial.question for trial in trials] == [KIND] * 2 * TRIALS + [WHICH] * 2 * TRIALS
    for question in (KIND, WHICH):
        asked = [trial for trial in trials if trial.question == question]
        for kind in (REAL, GENERATED):
            people = [trial.person for trial in asked if trial.kind == kind]
            assert sorted(people) == sorted(2 * PEOPLE)
    alone = [trial.left for trial in trials if trial.question == KIND]
    assert len(set(alone)) == len(alone)
    assert make_trials(material, TRIALS, seed=0) == trials != make_trials(material, TRIALS, seed=1)


def test_images_are_of_the_people_and_sets_that_the_questions_name(material, trials):
    of = {name: record.user for name, record in material.images.items()}
    for trial in trials:
        if trial.question == KIND:
            assert of[trial.left] == trial.person and trial.truth == trial.kind and not trial.right
        else:
            meant, other = (trial.left, trial.right)[:: 1 if trial.truth == "left" else -1]
            assert of[meant] == trial.person != of[other]
            assert len(set(trial.references)) == REFERENCES
            assert all(
                name.startswith("real/train/") and of[name] == trial.person for name in trial.references
            )
        start = "generated/" if trial.kind == GENERATED else "real/val/"
        assert all(name.startswith(start) for name in (trial.left, trial.right) if name)
    assert {trial.truth for trial in trials} == {REAL, GENERATED, "left", "right"}


def test_answers_outlive_the_process_and_are_given_once(trials, tmp_path):
    path = tmp_path / "answers.csv"
    first = Answers(path, trials)
    assert first.next == 0 and not path.exists()
    first.add(0, REAL)
    first.add(0, GENERATED)  # a second tab
    first.add(5, REAL)
    second = Answers(path, trials)
    assert (second.next, [row["answer"] for row in second.rows]) == (1, [REAL])
    second.add(1, GENERATED)
    rows = rows_of(path)
    assert [row["answer"] for row in rows] == [REAL, GENERATED]
    assert [(row["left"], row["truth"]) for row in rows] == [(one.left, one.truth) for one in trials[:2]]


@pytest.mark.parametrize("damage", [("real/val", "real/test"), (",real\n", ",perhaps\n"), ("answer", "word")])
def test_a_table_of_something_else_is_refused(trials, tmp_path, damage):
    path = tmp_path / "answers.csv"
    answers = Answers(path, trials)
    for place in range(4):
        answers.add(place, REAL)
    path.write_text(path.read_text().replace(*damage))
    with pytest.raises(UserError, match="answers.csv: .*remove it, or choose another --output_dir"):
        Answers(path, trials)


def test_a_finished_study_says_its_figures_again(toy, trials, tmp_path):
    out = tmp_path / "study"
    assert "would write" in output_of(command.main, *flags(toy, out, "--dry_run")) and not out.exists()
    said = refusal_of(command.main, *flags(toy, out, "--host", "192.0.2.1"))  # the folder is the study's now
    assert "give another --port, or --host" in said
    answers = Answers(out / "answers.csv", trials)
    for place, trial in enumerate(trials):
        answers.add(place, trial.truth)
    before = snapshot(out)
    said = output_of(command.main, *flags(toy, out))
    assert "real or generated  real and generated  everybody  100% (76% to 100% of 12)" in said
    assert "ID_10" in said and snapshot(out) == before
    assert "would say the figures" in output_of(command.main, *flags(toy, out, "--dry_run"))


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (lambda toy: ("--seed", 1), "seed"),
        (lambda toy: ("--trials", 5), "trials"),
        (lambda toy: ("--study", toy.data / "train"), "study"),
        (lambda toy: ("--leave_out", min((toy.data / "train").rglob("*.png")).name), "real"),
    ],
    ids=("seed", "trials", "study", "real"),
)
def test_a_folder_of_another_study_is_refused(toy, tmp_path, more, named):
    out = tmp_path / "study"
    refusal_of(command.main, *flags(toy, out, "--host", "192.0.2.1"))
    said = refusal_of(command.main, *flags(toy, out), *more(toy), unchanged=out)
    assert "was made with other settings" in said and f"{named} was" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (lambda toy, work: ("--real", "none"), "none"),
        (lambda toy, work: ("--study", work / "absent"), "--study .*absent: no such folder"),
        (lambda toy, work: ("--trials", 7), "--trials 7: requires 7 held-out real images"),
        (lambda toy, work: ("--study", toy.images / "ID_1"), "--study"),
        (lambda toy, work: ("--leave_out", "ID_1/*", "ID_2/*"), "expected"),
    ],
)
def test_refusals_are_one_line(more, said, toy, tmp_path):
    message = refusal_of(command.main, *flags(toy, tmp_path / "study"), *more(toy, tmp_path), "--dry_run")
    assert re.search(said, message)


def test_an_image_that_cannot_be_decoded_is_refused_before_the_first_question(toy, tmp_path):
    images = copy_of(toy.images, tmp_path / "images")
    for path in images.rglob("*.png"):
        path.write_bytes(b"no image")
    said = refusal_of(command.main, *flags(toy, tmp_path / "study"), "--study", images)
    assert "not an image in a format that Pillow reads" in said


def test_a_study_requires_real_images(toy):
    assert "requires --real" in refusal_of(command.main, "--study", toy.images)


def test_a_dry_run_tells_how_far_the_study_is(toy, tmp_path):
    said = output_of(command.main, *flags(toy, tmp_path / "study", "--dry_run"))
    assert "0 of 24 questions answered" in said and said.endswith(f"{LAST_LINE}\n")
