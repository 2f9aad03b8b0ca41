"""Who wins between default, preset, flag and override; types; and what a refused preset or override says."""

from pathlib import Path

import pytest

from configs.command_line import PROJECT, parse, read_by, unread_overrides
from configs.errors import UserError
from configs.load import load_preset, resolve, split_override, to_yaml
from configs.schema import SECTIONS

NEEDED = ["--latent_dir", "latents"]


def train(*argv):
    return parse("train", ("train", "model"), [*NEEDED, *argv], prog="p", description="d")


def preset(tmp_path, text):
    path = tmp_path / "preset.yaml"
    path.write_text(text)
    return str(path)


def message(function, *arguments):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_later_layers_win(tmp_path):
    path = preset(tmp_path, "train: {lr: 2.0e-4, batch_size: 2}\nmodel: {depth: 2}")
    assert train()["train"].lr == 1e-4
    assert train("--config", path)["train"].lr == 2e-4
    assert train("--config", path, "--lr", "3e-4")["train"].lr == 3e-4
    assert train("lr=4e-4", "--config", path, "--lr", "3e-4")["train"].lr == 4e-4
    last = train("--config", path, "--lr", "3e-4", "train.lr=5e-4", "model.depth=5")
    assert last["train"].lr == 5e-4 and last["model"].depth == 5 and last["train"].batch_size == 2
    assert train("--config", path)["model"].depth == 2


def test_a_key_that_does_nothing_alone_is_told_where_it_is_typed(tmp_path, capsys):
    path = preset(tmp_path, "train: {preview_every: 2}")
    assert train("--config", path)["train"].preview_every == 2 and not capsys.readouterr().out
    for typed in ("--preview_every 2", "preview_every=2"):
        train(*typed.split())
        assert capsys.readouterr().out == "note: --preview_every: does nothing here, without --vavae_path\n"
    train("--preview_every", "2", "--vavae_path", "compact")
    assert not capsys.readouterr().out


def test_an_override_of_a_section_that_nobody_reads_is_refused():
    said = message(train, "sample.num_steps=3")
    assert said == "sample.num_steps=3: p does not read the section sample; leave it out"
    read = parse(
        "train", ("train",), [*NEEDED, "sample.seed=3"], prog="p", description="", handed_on=["sample"]
    )
    assert read.keys() == {"train"}


def test_a_stage_gets_its_share_of_what_is_handed_on():
    further = [
        "--config",
        "a.yaml",
        "--debug",
        "train.lr=1",
        "model.depth=2",
        "sample.seed=3",
        "sample.x=train.=4",
    ]
    common = further[:3]
    assert read_by(["stage2_train_dit.py"], further) == [*common, "train.lr=1", "model.depth=2"]
    assert read_by(["stage3_inference.py"], further) == [*common, "sample.seed=3", "sample.x=train.=4"]
    assert read_by(["stage4_evaluate.py", "judge"], further) == common
    assert unread_overrides([["stage3_inference.py"]], further) == ["train.lr=1", "model.depth=2"]


def test_epochs_asked_for_are_not_overridden_by_the_steps_of_a_preset(tmp_path):
    path = preset(tmp_path, "train: {max_steps: 600}")
    assert train("--config", path)["train"].max_steps == 600
    asked = train("--config", path, "--max_epochs", "3")["train"]
    assert (asked.max_epochs, asked.max_steps) == (3, None)
    both = train("--config", path, "--max_epochs", "3", "max_steps=7")["train"]
    assert (both.max_epochs, both.max_steps) == (3, 7)
    assert train("--max_epochs", "3", "--max_steps", "7")["train"].max_steps == 7


def test_text_becomes_the_type_of_the_key(tmp_path):
    flags = "--lr 1e-4 --batch_size 16 --max_steps 5 --devices 2 --no-sample_posterior"
    config = train(*flags.split(), "weight_decay=1e-2", "dry_run=true", "vavae_path=null")["train"]
    assert config.lr == 1e-4 and isinstance(config.lr, float)
    assert (config.batch_size, config.max_steps, config.devices) == (16, 5, "2")
    assert (config.sample_posterior, config.dry_run, config.vavae_path) == (False, True, None)
    assert config.weight_decay == 0.01
    path = preset(tmp_path, "train: {lr: 1e-4, devices: 2}")  # YAML 1.1 reads 1e-4 as text
    assert train("--config", path)["train"].lr == 1e-4 and train("--config", path)["train"].devices == "2"


def test_lists_from_flags_presets_and_overrides(tmp_path):
    def sample(*argv):
        given = ["--dit_checkpoint", "c", "--vavae_path", "v", *argv]
        return parse("sample", ("sample",), given, prog="p", description="d")["sample"]

    assert sample("--user_ids", "1", "2-4", "ID_7").user_ids == ["1", "2-4", "ID_7"]
    assert sample("user_ids=[1,2]").user_ids == ["1", "2"]
    path = preset(tmp_path, "sample: {user_ids: [3, ID_4], guidance_interval: [0, 0.5]}")
    config = sample("--config", path)
    assert config.user_ids == ["3", "ID_4"] and config.guidance_interval == [0.0, 0.5]
    assert sample("--guidance_interval", "0.1", "0.9").guidance_interval == [0.1, 0.9]


def test_value_of_a_flag_may_look_like_an_override():
    given = ["--input_dir", "raw", "--output_dir", "out", "--recordings", r"walk=(\d+)", "guard=5"]
    config = parse("split", ("split",), given, prog="p", description="d")["split"]
    assert config.recordings == r"walk=(\d+)" and config.guard == 5
    given = ["--input_dir", "raw", "--output_dir", "out", "--copy", "guard=6", "--debug", "seed=1"]
    config = parse("split", ("split",), given, prog="p", description="d")["split"]
    assert config.copy and (config.guard, config.seed) == (6, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nowhere.lr=1", "nowhere.lr=1: unknown section 'nowhere'; known: split"),
        ("trian.lr=1", "did you mean train?"),
        ("batchsize=1", "unknown key train.batchsize; did you mean batch_size?"),
        ("model.zzz=1", "unknown key model.zzz; known: preset, depth"),
        ("lr=[1", "lr=[1: not readable as a YAML value"),
    ],
)
def test_refused_overrides_name_what_was_meant(text, said):
    assert said in message(split_override, text, "train")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--lr", "fast"], ["train.lr", "'fast'"]),
        (["--batch_size", "3.5"], ["train.batch_size", "'3.5'"]),
        (["lr=null"], ["train.lr"]),
        (["batch_size=[1,2]"], ["train.batch_size"]),
        (["dry_run=perhaps"], ["train.dry_run", "'perhaps'"]),
        (["model.depth=deep"], ["model.depth", "'deep'"]),
    ],
)
def test_wrong_types_name_key_and_value(given, said):
    text = message(train, *given)
    assert all(part in text for part in said), text


def test_missing_keys_are_all_named():
    text = message(resolve, ("extract",), {})
    assert text == "--data_dir, --vavae_path: required, but not given"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n- b", "expected sections such as train: and model:, found list"),
        ("just words", "unknown section 'just words'"),
        ("train: [unclosed", "not readable as YAML"),
        ("train: 3", "section train must hold key: value lines"),
        ("train:\n", "section train must hold key: value lines"),
        ("trian: {lr: 1}", "unknown section 'trian'; did you mean train?"),
        ("7: {lr: 1}", "unknown section 7"),
        ("train: {learning_rate: 1}", "unknown key train.learning_rate"),
        ("train: {7: 1}", "unknown key train.7"),
        ("\x00\x01", "not readable as YAML"),
    ],
)
def test_unusable_presets_are_refused_by_name(tmp_path, text, said):
    path = preset(tmp_path, text)
    refused = message(load_preset, path)
    assert refused.startswith(f"--config {path}: ") and said in refused


def test_absent_and_odd_preset_files(tmp_path):
    assert "no such file" in message(load_preset, tmp_path / "absent.yaml")
    assert "no such file" in message(load_preset, tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(bytes(range(128, 256)))
    assert "not readable as YAML" in message(load_preset, tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert load_preset(tmp_path / "empty.yaml") == {}


def test_a_preset_with_a_value_out_of_range_is_refused(tmp_path):
    path = preset(tmp_path, "train: {batch_size: 0}")
    assert message(train, "--config", path) == "train.batch_size=0: expected at least 1"


PRESETS = sorted((PROJECT / "configs").glob("*.yaml"))
REQUIRED = {
    "split": {"input_dir": "a", "output_dir": "b"},
    "simulate": {"output_dir": "a"},
    "spectrogram": {"input": "a", "output_dir": "b", "carrier": 77e9, "prf": 3288.0},
    "import": {"input": "a", "output_dir": "b"},
    "extract": {"data_dir": "a", "vavae_path": "b"},
    "train": {"latent_dir": "a"},
    "sample": {"dit_checkpoint": "a", "vavae_path": "b"},
    "tokenizer": {"data_dir": "a"},
    "evaluate": {"real": "a", "generated": "b"},
    "judge": {"real": "a"},
    "sweep": {"real": "a", "dit_checkpoint": "b", "vavae_path": "c"},
    "study": {"design": "new-person", "real": "a", "vavae_path": "b"},
    "fid": {"generated": "a", "reference": "b"},
}


@pytest.mark.parametrize("path", PRESETS, ids=[path.stem for path in PRESETS])
def test_every_shipped_preset_loads_and_says_something(path):
    content = load_preset(path)
    configs = resolve(tuple(SECTIONS), REQUIRED, content)
    assert content and all(
        getattr(configs[section], name) is not None for section, values in content.items() for name in values
    )
    assert path.read_text().startswith("#")


def test_the_presets_that_users_are_told_of_exist():
    names = {path.stem for path in PRESETS}
    assert {"demo_cpu", "demo_quick", *(f"microdoppler_{size}" for size in ("s", "b", "l", "xl"))} <= names


def test_to_yaml_is_read_back_unchanged(tmp_path):
    configs = resolve(
        tuple(SECTIONS),
        REQUIRED,
        {
            "train": {"lr": 1e-5, "max_steps": 3, "seed": 2**40},
            "sample": {"user_ids": ["1", "007", "ID 3", "no"]},
            "split": {"recordings": r"rec(\d+)[^=]'\"#"},
            "model": {"depth": 3},
        },
    )
    path = Path(preset(tmp_path, to_yaml(configs)))
    assert resolve(tuple(SECTIONS), load_preset(path)) == configs


@pytest.mark.parametrize("name", ["guidance", "samplers"])
def test_a_list_that_needs_a_value_is_not_empty(name):
    """A preset may say [], a command line cannot."""
    given = {**dict.fromkeys(("real", "dit_checkpoint", "vavae_path"), "-"), name: []}
    with pytest.raises(UserError, match=rf"sweep.{name}=\[\]: expected a value, got nothing"):
        resolve(("sweep",), {"sweep": given})
