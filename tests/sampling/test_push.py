"""What is published, and that it is closed unless one says otherwise; against a Hub on this machine."""

import json

import pytest
from fake_hub import fake_hub
from toy_run import output_of, run_as_script

from sampling.model_file import DEMO_FILE, load_trained
from sampling.push import main

REPOSITORY = "some-one/walkers"
DATA = "Thirty-one simulated walkers."
GIVEN = [str(DEMO_FILE), REPOSITORY, "--licence", "mit", "--data", DATA]


@pytest.fixture
def metrics(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"people": ["ID_1"], "summary": ["The person: 91%."]}))
    return path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with fake_hub(monkeypatch, REPOSITORY, {}) as server:
        yield server


def private(hub):
    """By the word of the library's version."""
    return hub.settings.get("private") or hub.settings.get("visibility") == "private"


def refused(*given):
    status, out, said = run_as_script(main, *given)
    assert status == 2 and not out and said.startswith("error: ") and said.count("\n") == 1
    return said


def test_model_and_card_arrive_and_whoever_wants_them_asks_first(hub, metrics):
    said = output_of(main, *GIVEN, "--metrics", metrics)
    assert hub.files["best.safetensors"] == DEMO_FILE.read_bytes()
    card = hub.files["README.md"].decode()
    assert card.startswith("---\nlicense: mit\n") and DATA in card and "- The person: 91%." in card
    assert (
        "Draws** 100 people;" in card and "--vavae_path compact" in card and "Gait identifies people" in card
    )
    assert hub.settings["gated"] == "manual" and not private(hub)
    assert "names its people: ID_1" in said and f"hf://{REPOSITORY} --vavae_path compact" in said


def test_a_public_repository_is_closed_where_it_is_asked(hub):
    hub.settings = {"private": False, "visibility": "public"}
    output_of(main, *GIVEN)
    assert not private(hub)
    output_of(main, *GIVEN, "--private")
    assert private(hub)


def test_what_was_uploaded_draws(hub, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    output_of(main, *GIVEN, "--gated", "none", "--private")
    assert hub.settings["gated"] is False and private(hub)
    _, payload = load_trained(f"hf://{REPOSITORY}")
    assert payload.labels == load_trained(str(DEMO_FILE))[1].labels
    assert "Not measured." in hub.files["README.md"].decode()


def test_a_dry_run_shows_the_card_and_sends_nothing(hub):
    said = output_of(main, *GIVEN, "--dry_run")
    assert "# walkers" in said and said.endswith("dry run: nothing was sent\n")
    assert not hub.files and not hub.settings


def test_what_cannot_be_published_is_refused(hub, metrics, tmp_path):
    other = tmp_path / "best.ckpt"
    assert "expected best.safetensors of stage 2" in refused(str(other), *GIVEN[1:])
    assert "no such file" in refused(*GIVEN, "--metrics", str(tmp_path / "absent.json"))
    metrics.write_text("[")
    assert "not a JSON file" in refused(*GIVEN, "--metrics", str(metrics))
    metrics.write_text("{}")
    assert "expected metrics.json of stage 4" in refused(*GIVEN, "--metrics", str(metrics))
    metrics.write_text('{"people": [], "summary": [], "generators": {"ours": {}}}')
    said = refused(*GIVEN, "--metrics", str(metrics))
    assert f"of several generators; give the one's, {metrics.parent / 'ours' / 'metrics.json'}" in said
    hub.plan["error"] = (401, "")
    assert "log in by `hf auth login`" in refused(*GIVEN) and not hub.files
