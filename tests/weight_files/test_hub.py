"""Weight files named hf://…, from a Hub of this machine: fetched once, known by commit, refused in a line."""

import hashlib
from dataclasses import fields

import numpy
import pytest
from fake_hub import COMMIT, fake_hub
from huggingface_hub import constants
from huggingface_hub.utils import LocalEntryNotFoundError
from omegaconf import MISSING as REQUIRED
from PIL import Image
from toy_run import DRAWING, EXACT, output_of, refusal_of, save_tokenizer

import playground.__main__ as playground
import stage1_extract_features
import stage2_train_dit
import stage3_inference
import stage4_evaluate
import train_tokenizer
from configs.errors import UserError
from configs.keys import default_of
from configs.load import resolve
from configs.schema import SECTIONS
from run_complete_pipeline import inputs_of
from tokenizer.convert import main as convert
from tokenizer.vavae import load_tokenizer
from tokenizer.weights import digest
from weight_files.hub import local_file, only_weights

REPOSITORY = "some-one/walkers"
FILES = {
    "best.safetensors": b"weights",
    "README.md": b"words",
    "old/last.pt": b"older",
    "latents_stats.pt": b"0",
}
COMMANDS = {
    "extract": (stage1_extract_features.main,),
    "train": (stage2_train_dit.main,),
    "sample": (stage3_inference.main,),
    "evaluate": (stage4_evaluate.main,),
    "sweep": (stage4_evaluate.main, "sweep"),
    "study": (stage4_evaluate.main, "study"),
    "fid": (stage4_evaluate.main, "fid"),
    "tokenizer": (train_tokenizer.main,),
    "playground": (playground.main,),
}
KEYS = [
    (section, item)
    for section, kind in SECTIONS.items()
    for item in fields(kind)
    if item.metadata["weights"] and section != "pipeline"  # which hands its names on
]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache of the library."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch):
    with fake_hub(monkeypatch, REPOSITORY, FILES) as server:
        yield server


def refused(name, **options):
    with pytest.raises(UserError) as caught:
        local_file(name, **options)
    text = str(caught.value)
    assert text.startswith(f"{name}: ") and "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (f"hf://{REPOSITORY}/best.safetensors", "best.safetensors"),
        (f"hf://{REPOSITORY}", "best.safetensors"),
        (f"hf://{REPOSITORY}/", "best.safetensors"),
        (f"hf://{REPOSITORY}@main/old/last.pt", "old/last.pt"),
        (f"hf://{REPOSITORY}@{COMMIT}", "best.safetensors"),
    ],
)
def test_a_name_is_a_file_of_the_cache_and_fetched_once(server, cache, capsys, name, file):
    path = local_file(name)
    assert path.read_bytes() == FILES[file] and cache in path.parents and path.parts[-2:] != ("old", file)
    said = capsys.readouterr().out
    assert f"{name}: {path}, {len(FILES[file])} bytes, commit {COMMIT[:12]}" in said
    assert f"sha256 {hashlib.sha256(FILES[file]).hexdigest()}" in said
    assert local_file(name) == path and server.starts == [0]
    assert local_file(name, look_only=True) == path


def test_paths_are_themselves(tmp_path):
    assert local_file("weights/best.pt").as_posix() == "weights/best.pt"
    assert local_file(tmp_path) == tmp_path and local_file("hf:/no/name.pt").as_posix() == "hf:/no/name.pt"


@pytest.mark.parametrize("name", ["hf://", "hf://walkers", "hf://a/b@", "hf://a/b@x@y/file.pt", "hf:///a/b"])
def test_a_malformed_name_is_refused(name):
    assert "expected hf://owner/repository[@revision][/file]" in refused(name)


def test_what_is_not_there_is_one_line_with_the_way_out(server):
    assert "no such file in the repository" in refused(f"hf://{REPOSITORY}/worst.pt")
    assert "no such revision" in refused(f"hf://{REPOSITORY}@v9/old/last.pt")
    assert "no such repository, or a private one; check the name, set HF_TOKEN" in refused(
        "hf://no/body/a.pt"
    )
    assert "no such repository" in refused("hf://no/body")
    assert "check the name" in refused("hf://a--b/c..d/a.pt")
    server.plan["error"] = (403, "GatedRepo")
    assert "accept the conditions on its page and set HF_TOKEN" in refused(f"hf://{REPOSITORY}/old/last.pt")


def test_without_a_network_the_reason_is_told_and_the_mirror_named(monkeypatch):
    def unreachable(*arguments, **options):
        raise LocalEntryNotFoundError("not in the cache") from ConnectionError("no route to host\nmore")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    text = refused(f"hf://{REPOSITORY}/old/last.pt")
    assert "not reached, or broken off (no route to host); try again, set HF_ENDPOINT to a mirror, or" in text


def test_offline_the_cache_alone_counts(server, monkeypatch):
    name = f"hf://{REPOSITORY}/best.safetensors"
    path = local_file(name)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert local_file(name) == path and local_file(f"hf://{REPOSITORY}") == path
    other = f"hf://{REPOSITORY}/old/last.pt"
    assert "HF_HUB_OFFLINE forbids the network; unset it, or name a local file" in refused(other)
    assert "HF_HUB_OFFLINE" in refused("hf://no/body") and server.starts == [0]


@pytest.mark.parametrize(
    ("files", "weights"),
    [
        (["model.safetensors", "pytorch_model.pt"], "model.safetensors"),
        (["a/vavae.pt", "latents_stats.pt", "config.json"], "a/vavae.pt"),
        (["best.ckpt"], "best.ckpt"),
    ],
)
def test_the_one_weights_file_of_a_repository_is_meant(files, weights):
    assert only_weights("hf://a/b", files) == weights


def test_none_or_several_weights_files_are_told():
    with pytest.raises(UserError, match=r"expected one weights file, found none; name one, as hf://a/b/file"):
        only_weights("hf://a/b", ["latents_stats.pt", "README.md"])
    with pytest.raises(UserError, match=r"expected one weights file, found a.ckpt, b.pt"):
        only_weights("hf://a/b", ["b.pt", "a.ckpt"])


@pytest.mark.parametrize(("section", "item"), KEYS, ids=[f"{s}.{i.name}" for s, i in KEYS])
def test_every_flag_that_names_weights_takes_the_name_and_a_dry_run_fetches_nothing(
    server, section, item, tmp_path
):
    main, *command = COMMANDS[section]
    given = [one for one in fields(SECTIONS[section]) if default_of(one) == REQUIRED and one is not item]
    values = [(*one.metadata["choices"], str(tmp_path / "somewhere"))[0] for one in given]
    required = [word for one, value in zip(given, values) for word in (f"--{one.name}", value)]
    flags = [*command, *required, f"--{item.name}", f"hf://{REPOSITORY}/best.safetensors"]
    text = refusal_of(main, *flags, "--dry_run", unchanged=tmp_path)
    assert text.startswith(f"error: --{item.name} hf://{REPOSITORY}/best.safetensors: not on this machine")
    assert "run once without --dry_run" in text and not server.starts
    server.files = {}
    assert f"error: --{item.name} hf://" in (text := refusal_of(main, *flags)) and "no such file" in text


def test_the_hub_s_weights_draw_what_the_same_local_files_draw(toy, monkeypatch, tmp_path):
    files = {"W.safetensors": toy.tokenizer.read_bytes(), "best.safetensors": toy.lively.read_bytes()}
    more = ["--user_ids", "1", *DRAWING, *EXACT]
    local = ["--dit_checkpoint", toy.lively, "--vavae_path", toy.tokenizer]
    output_of(stage3_inference.main, *local, "--output_dir", tmp_path / "local", *more)
    with fake_hub(monkeypatch, REPOSITORY, files):
        named = [f"hf://{REPOSITORY}/{name}" for name in ("best.safetensors", "W.safetensors")]
        flags = ["--dit_checkpoint", named[0], "--vavae_path", named[1], "--output_dir", tmp_path / "hub"]
        said = output_of(stage3_inference.main, *flags, *more)
        assert (
            f"{named[0]}: " in said
            and f"sha256 {hashlib.sha256(files['best.safetensors']).hexdigest()}" in said
        )
        output_of(stage3_inference.main, *flags[:-1], tmp_path / "local", *more)  # the folder knows contents
    for name in ("micro_doppler_user01_001.png", "micro_doppler_user01_002.png"):
        drawn = [numpy.asarray(Image.open(tmp_path / folder / name)) for folder in ("hub", "local")]
        assert (drawn[0] == drawn[1]).all()


def test_the_runner_hands_the_name_to_its_stages(tmp_path):
    given = {"data_dir": str(tmp_path), "vavae_path": f"hf://{REPOSITORY}"}
    assert inputs_of(resolve(("pipeline",), {"pipeline": given})["pipeline"]) == tuple(given.values())


def test_python_callers_and_the_converter_take_the_name(monkeypatch, tmp_path):
    content = save_tokenizer(tmp_path / "W.safetensors").read_bytes()
    with fake_hub(monkeypatch, REPOSITORY, {"W.safetensors": content}):
        assert digest(load_tokenizer(f"hf://{REPOSITORY}")) == digest(
            load_tokenizer(tmp_path / "W.safetensors")
        )
        convert([f"hf://{REPOSITORY}", str(tmp_path / "copy.safetensors")])
    assert digest(load_tokenizer(tmp_path / "copy.safetensors")) == digest(
        load_tokenizer(tmp_path / "W.safetensors")
    )
