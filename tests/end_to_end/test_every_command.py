"""Every command keeps others out of the folder for as long as it writes, and in a dry run writes nothing."""

import re
import shutil
from types import SimpleNamespace

import numpy
import public_layouts
import pytest
from conftest import PROJECT
from fmcw_walker import walking
from lock_watch import held_by_another_process, is_locked, watched
from PIL import Image, ImageChops
from project_files import sources
from toy_run import DRAWING, EXACT, TINY_MODEL, output_of, refusal_of, snapshot, words

import configs.stage_process
import run_complete_pipeline
import stage0_prepare
import stage1_extract_features
import stage2_train_dit
import stage3_inference
import stage4_evaluate
import train_tokenizer
from benchmarks.compare_fid import write_random_weights
from configs.dry_run import LAST_LINE
from configs.schema import SECTIONS

pytestmark = pytest.mark.usefixtures("brief_judges")

NOT_COMMANDS = {"model", "transport", "playground"}  # playground serves a page: tests/playground
BY_STAGES = {"pipeline"}  # writes by the commands that it starts
MENDING = {"doctor"}  # looks first for what it mends in the folder
OF_THE_HUB = {"download"}  # tests/preparation/test_download.py, which has a hub
DRAW = "--num_steps 1 --num_samples_per_user 1"
ON_CPU = "max_steps=1 accelerator=cpu --precision 32"


@pytest.fixture(scope="module")
def made(toy, tmp_path_factory):
    """What commands take that the toy does not hold: a recording, images drawn, and more for validation."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "recordings/ID_1").mkdir(parents=True)
    draw = numpy.random.default_rng(0)
    numpy.save(folder / "recordings/ID_1/a.npy", draw.normal(size=(2, 4000)) + 1j)
    public_layouts.sense2gol(folder / "public", {"220110/220110_2_0_15": walking(3.3)})
    shutil.copytree(toy.data / "train", folder / "real/train")
    for path in sorted((toy.data / "train").rglob("*.png")):
        other = folder / "real/val" / path.relative_to(toy.data / "train")
        other.parent.mkdir(parents=True, exist_ok=True)
        ImageChops.offset(Image.open(path), 0, 100).save(other)  # no copy of a training image
    output_of(stage3_inference.main, *draw_from(toy), *DRAWING, "--output_dir", folder / "images")
    write_random_weights(folder / "inception.pth")
    return folder


def draw_from(toy):
    return (*toy.networks, *EXACT)


def command(section, toy, made, out):
    """The script of a section and the arguments with which it writes into `out`."""
    real, study = (
        f"--real {made}/real",
        "--seeds 2 --classifier_steps 5 sample.num_steps=1 sample.precision=32",
    )
    images = f"--data_dir {toy.data} --vavae_path {toy.tokenizer}"
    script, *arguments = {
        "simulate": (stage0_prepare, "simulate --num_users 1 --samples_per_user 1"),
        "spectrogram": (
            stage0_prepare,
            f"spectrogram --input {made}/recordings --carrier 77e9 --prf 1000 --layout receivers,pulses",
        ),
        "import": (stage0_prepare, f"import sense2gol --input {made}/public"),
        "split": (
            stage0_prepare,
            f"split --input_dir {toy.images} --val_fraction 0.25",
            r"recordings=rec(\d+)",
        ),
        "download": (stage0_prepare, "download", "latents-stats"),
        "doctor": (stage0_prepare, "doctor --fix"),
        "setup": (stage0_prepare, "setup", "--folders", toy.images.parent),
        "extract": (stage1_extract_features, images, *EXACT),
        "train": (stage2_train_dit, f"--latent_dir {toy.latents} {ON_CPU}", *TINY_MODEL),
        "sample": (stage3_inference, *draw_from(toy), DRAW),
        "evaluate": (stage4_evaluate, f"--real {toy.data} --generated {made}/images --judge_seeds 1"),
        "judge": (stage4_evaluate, f"judge {real}"),
        "sweep": (
            stage4_evaluate,
            f"sweep --real {toy.data}",
            *toy.networks,
            "--num_steps 1 --num_samples_per_user 2 --guidance 1 --samplers euler",
        ),
        "study": (
            stage4_evaluate,
            f"study --design same-budget {real} --vavae_path {toy.tokenizer} --images_per_person 1",
            f"{study} --arms classic generated train.max_steps=1 train.precision=32",
            *TINY_MODEL,
        ),
        "fid": (
            stage4_evaluate,
            f"fid --generated {made}/images --reference {toy.data}/val --inception_path {made}/inception.pth",
        ),
        "tokenizer": (
            train_tokenizer,
            f"--data_dir {toy.data} ch_mult=[1] patch_size=16 --batch_size 2 {ON_CPU}",
        ),
        "pipeline": (run_complete_pipeline, images),
    }[section]
    name = {"extract": "--output_path", "download": "--dir", "doctor": "--latent_dir"}
    return script.main, [*arguments, name.get(section, "--output_dir"), out]


@pytest.fixture
def out(request, toy, tmp_path):
    """The folder to write into; the doctor's is one to mend."""
    if request.node.callspec.params["section"] != "doctor":
        (tmp_path / "out").mkdir()
        return tmp_path / "out"
    broken = shutil.copytree(toy.latents, tmp_path / "out")
    (broken / "latents_stats.pt").write_bytes(b"")
    return broken


@pytest.mark.parametrize(
    "section", [name for name in SECTIONS if name not in NOT_COMMANDS | BY_STAGES | OF_THE_HUB]
)
def test_a_command_writes_under_its_lock_alone(section, toy, made, out):
    main, arguments = command(section, toy, made, out)
    with watched(out) as writes:
        output_of(main, *arguments)
    assert writes and not [name for name, locked in writes if not locked]
    assert not is_locked(out)


@pytest.mark.parametrize("more", [(), ("--dry_run",)], ids=["real", "dry"])
@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in NOT_COMMANDS | BY_STAGES])
def test_a_command_is_refused_while_another_process_writes(section, more, toy, made, out):
    main, arguments = command(section, toy, made, out)
    arguments += more
    with held_by_another_process(out):
        assert f"{out}: another process is writing into it" in refusal_of(main, *arguments, unchanged=out)


@pytest.mark.parametrize(
    "section", [name for name in SECTIONS if name not in NOT_COMMANDS | BY_STAGES | OF_THE_HUB | MENDING]
)
def test_a_file_in_the_place_of_the_output_folder_is_refused(section, toy, made, tmp_path):
    (tmp_path / "out").write_text("in the way")
    main, arguments = command(section, toy, made, tmp_path / "out")
    assert f"{tmp_path / 'out'}: is a file, expected a folder" in refusal_of(
        main, *arguments, unchanged=tmp_path
    )


@pytest.mark.parametrize("section", BY_STAGES)
def test_the_runner_ends_where_a_stage_is_refused(section, toy, made, out, capfd):
    main, arguments = command(section, toy, made, out)
    (out / "latent_features").mkdir()
    with held_by_another_process(out / "latent_features"), pytest.raises(SystemExit, match="2"):
        main(words(arguments))
    assert "latent_features: another process is writing into it" in capfd.readouterr().err


# Dry runs


@pytest.mark.parametrize("section", [name for name in SECTIONS if name not in NOT_COMMANDS])
def test_a_dry_run_says_what_it_would_do_and_touches_nothing(section, toy, made, out, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # the doctor asks nobody
    target = out if section == "doctor" else out / "new"
    main, arguments = command(section, toy, made, target)
    before = everything(out), everything(toy.images.parent)
    said = output_of(main, *arguments, "--dry_run")
    assert said.endswith(f"{LAST_LINE}\n") and (everything(out), everything(toy.images.parent)) == before
    if section != "pipeline":  # which tells what its stages say
        assert re.search(f"^would write .*{re.escape(str(target))}", said, flags=re.M)
        assert any(f"{section}:" == line for line in said.splitlines())  # the resolved configuration


def everything(folder):
    """Names of all folders below it, and time and digest of all files."""
    return {path for path in folder.rglob("*") if path.is_dir()}, snapshot(folder)


@pytest.mark.parametrize(
    ("section", "wrong", "words"),
    [
        ("simulate", ("--num_users", "0"), "expected at least 1"),
        ("split", ("--input_dir", "absent"), "absent"),
        ("extract", ("--data_dir", "absent"), "no such folder"),
        ("train", ("--latent_dir", "absent"), "absent"),
        ("sample", ("--user_ids", "99"), "unknown user 99"),
        ("evaluate", ("--vavae_path", "absent.pt"), "absent.pt: no such file"),
        ("judge", ("--real", "absent"), "absent"),
        ("sweep", ("--dit_checkpoint", "absent"), "absent"),
        ("study", ("--images_per_person", "99"), "ID_1 has 6, ID_2 has 6"),
        ("fid", ("--inception_path", "absent.pth"), "absent.pth: no such file of torch-fidelity's Inception"),
        ("tokenizer", ("--crop", "33"), "expected a multiple"),
        ("pipeline", ("--data_dir", "absent"), "absent"),
    ],
)
def test_a_dry_run_refuses_what_the_real_one_does(section, wrong, words, toy, made, out):
    main, arguments = command(section, toy, made, out)
    said = [refusal_of(main, *arguments, *wrong, *more, unchanged=out) for more in ((), ("--dry_run",))]
    assert said[0] == said[1] and words in said[0]


def test_a_dry_run_of_the_runner_asks_the_stages_whose_inputs_are_there(toy, made, tmp_path, monkeypatch):
    asked, out = [], tmp_path / "out"
    monkeypatch.setattr(
        configs.stage_process.subprocess,
        "run",
        lambda command, **_: asked.append(command[1:]) or SimpleNamespace(returncode=0),
    )
    main, arguments = command("pipeline", toy, made, out)
    said = output_of(main, *arguments, "--dry_run")
    assert len(asked) == 1 and "stage1" in asked[0][0] and "--dry_run" in asked[0]
    assert f"would run when the stages before it have made {out / 'latent_features'}" in said
    assert said.count("would run when") == 2 and not out.exists()
    shutil.copytree(toy.latents, tmp_path / "session/latent_features")
    said = output_of(main, *arguments, "--dry_run", "--resume_from", tmp_path / "session")
    assert "would start from" in said and not out.exists()


def test_a_dry_run_counts_what_is_left(toy, made, tmp_path):
    drawn = shutil.copytree(made / "images", tmp_path / "images")
    arguments = (*draw_from(toy), *DRAWING, "--output_dir", drawn, "--dry_run")
    assert "would draw 0 of 6 images of 3 people" in output_of(stage3_inference.main, *arguments)
    next(drawn.glob("*user01_001.png")).unlink()
    assert "would draw 1 of 6 images of 3 people" in output_of(stage3_inference.main, *arguments)
    said = output_of(stage2_train_dit.main, *toy.training, "--dry_run", "max_steps=5")
    assert "would train 2 steps, 3 of 5 are done" in said


def test_every_program_is_among_these():
    """A program is a file that runs as one; measuring ones, which write a form, aside."""
    programs = {
        path.as_posix() for path in sources() if "__main__" in (PROJECT / path).read_text(encoding="utf-8")
    }
    modules = (
        run_complete_pipeline,
        stage0_prepare,
        stage1_extract_features,
        stage2_train_dit,
        stage3_inference,
        stage4_evaluate,
        train_tokenizer,
    )
    # These have tests of their own.
    others = {"tokenizer/convert.py", "sampling/push.py", "example.py", "playground/__main__.py"}
    assert programs == {f"{module.__name__}.py" for module in modules} | others
    assert set(stage0_prepare.COMMANDS) | set(stage4_evaluate.COMMANDS) <= set(SECTIONS)
