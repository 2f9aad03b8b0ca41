"""Downloads from a Hub of this machine that breaks off, lies, and answers nothing."""

import hashlib
from contextlib import suppress

import pytest
import torch
from fake_hub import fake_hub
from huggingface_hub import constants
from lock_watch import watched
from toy_run import names, output_of, refusal_of

import stage0_prepare
from configs.errors import UserError
from data.latent_stats import LatentStatistics
from preparation.download import PUBLISHED

STATISTICS = PUBLISHED["latents-stats"]


def hub(monkeypatch, content, item=STATISTICS, **plan):
    """A server with one file, as the environment's endpoint."""
    return fake_hub(monkeypatch, item.repository, {item.file: content}, **plan)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Bytes of a file of statistics, padded so that an interruption is in the middle."""
    path = tmp_path_factory.mktemp("statistics") / "latents_stats.pt"
    LatentStatistics(torch.randn(1, 3200, 1, 1), torch.rand(1, 3200, 1, 1) + 0.1).save(path)
    return path.read_bytes()


def fetch(folder):
    return output_of(stage0_prepare.main, "download", "latents-stats", "--dir", folder)


def refused(folder):
    return refusal_of(stage0_prepare.main, "download", "latents-stats", "--dir", folder)


def kept(folder):
    """Files of the folder, but for the library's notes on its downloads."""
    return {name for name in names(folder) if not name.startswith(".cache/")}


def test_a_file_comes_whole_with_its_digest_and_is_not_fetched_again(monkeypatch, content, tmp_path):
    digest = hashlib.sha256(content).hexdigest()
    with hub(monkeypatch, content) as server:
        said = fetch(tmp_path)
        assert f"downloaded, {len(content):,} bytes, sha256 {digest}" in said
        assert (tmp_path / STATISTICS.file).read_bytes() == content
        assert (tmp_path / f"{STATISTICS.file}.sha256").read_text() == f"{digest}  {STATISTICS.file}\n"
        assert "was there" in fetch(tmp_path) and server.starts == [0]


def test_it_writes_under_its_lock_alone(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content), watched(tmp_path) as writes:
        fetch(tmp_path)
    assert writes and all(locked for _, locked in writes)


def test_the_hub_s_word_counts_where_the_storage_says_nothing(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, storage=True, etag="of-the-storage"):
        assert f"sha256 {hashlib.sha256(content).hexdigest()}" in fetch(tmp_path)


def test_a_broken_connection_is_gone_on_with(monkeypatch, content, tmp_path):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    with hub(monkeypatch, content, break_once_at=5500) as server:
        with suppress(UserError):  # older versions of the library leave trying again to the next command
            stage0_prepare.main(["download", "latents-stats", "--dir", str(tmp_path)])
        fetch(tmp_path)
        assert server.starts == [0, 5000]
    assert (tmp_path / STATISTICS.file).read_bytes() == content
    assert kept(tmp_path) == {STATISTICS.file, f"{STATISTICS.file}.sha256"}


def test_bytes_that_are_not_the_announced_ones_are_not_kept(monkeypatch, content, tmp_path):
    other = bytes(byte ^ 1 for byte in content)
    with hub(monkeypatch, content, instead=other):
        text = refused(tmp_path)
    assert "instead of" in text and "nothing was kept" in text
    assert kept(tmp_path) == set()


def test_without_an_announced_digest_size_and_loading_are_checked(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, etag="abc"):
        assert "no digest announced: size and loading checked" in fetch(tmp_path)
    assert not (tmp_path / f"{STATISTICS.file}.sha256").exists()
    with hub(monkeypatch, b"<html>log in</html>", etag="abc"):
        assert "not readable" in refused(tmp_path / "other")


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda content: content[:-1] + b"?"])
def test_another_file_of_the_name_is_refused_and_left_alone(monkeypatch, content, tmp_path, damage):
    (tmp_path / STATISTICS.file).write_bytes(damage(content))
    with hub(monkeypatch, content) as server:
        text = refused(tmp_path)
        assert names(tmp_path) == {STATISTICS.file}
    assert "not the published file" in text and "remove it" in text and not server.starts


def test_without_a_network_it_says_which_file_goes_where(monkeypatch, content, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = refused(tmp_path)
    place = f"{STATISTICS.repository}/resolve/main/{STATISTICS.file}"
    assert f"https://huggingface.co/{place} elsewhere and put it at {tmp_path / STATISTICS.file}" in text
    assert f"http://127.0.0.1:9/{place}: not reached, or broken off" in text
    assert "set HF_ENDPOINT to a mirror" in text
    (tmp_path / STATISTICS.file).write_bytes(content)
    said = fetch(tmp_path)
    assert "loads, sha256" in said and "not compared with the hub's" in said
    (tmp_path / f"{STATISTICS.file}.sha256").write_text(f"{'0' * 64}  {STATISTICS.file}\n")
    assert "was downloaded; remove it" in refused(tmp_path)


def test_an_absent_repository_is_one_line(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, item=PUBLISHED["lightningdit-xl-64ep"]):
        assert "no such repository" in refused(tmp_path)


def test_unknown_names_are_refused(tmp_path):
    text = refusal_of(stage0_prepare.main, "download", "vae", "--dir", tmp_path)
    assert "expected vavae | lightningdit-xl-800ep | lightningdit-xl-64ep | latents-stats | all" in text


def test_a_file_in_the_place_of_the_folder_is_refused_by_the_flag_s_name(tmp_path):
    (tmp_path / "weights").write_text("in the way")
    text = refusal_of(stage0_prepare.main, "download", "latents-stats", "--dir", tmp_path / "weights")
    assert text.endswith("weights: is a file, expected a folder; use another --dir")
