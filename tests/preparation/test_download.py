"""Downloads against a local server that breaks off, cuts short, lies, and answers nothing."""

import hashlib
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from lock_watch import watched
from toy_run import names, output_of, refusal_of

import stage0_prepare
from data.latent_stats import LatentStatistics
from preparation.download import PUBLISHED

STATISTICS = PUBLISHED["latents-stats"]


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does; `server.plan` says what goes wrong."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        content, plan = self.server.files.get(self.path), self.server.plan
        if content is None:
            return self.send_error(404)
        if plan.get("storage") and "storage" not in self.path:
            return self._send_on(content)
        asked = self.headers.get("Range")
        ranges = plan.get("ranges", True)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and ranges else 0
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{plan.get("etag", hashlib.sha256(content).hexdigest())}"')
        self.end_headers()
        body = plan.get("instead", content)[start:]
        if "break_at" in plan:
            body, self.close_connection = body[: max(0, plan["break_at"] - start)], True
        with suppress(OSError):  # the client reads headers alone when it asks for the announcement
            self.wfile.write(body)

    def _send_on(self, content):
        """As the hub does: what the file is, then where its storage is, which knows nothing of it."""
        self.send_response(302)
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Location", f"/storage{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def hub(monkeypatch, content, item=STATISTICS, **plan):
    """A server with one file, as the environment's endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    place = f"/{item.repository}/resolve/main/{item.file}"
    server.files = {place: content, f"/storage{place}": content}
    server.plan, server.starts = plan, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


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


def test_a_file_comes_whole_with_its_digest_and_is_not_fetched_again(monkeypatch, content, tmp_path):
    digest = hashlib.sha256(content).hexdigest()
    with hub(monkeypatch, content) as server:
        said = fetch(tmp_path)
        assert f"downloaded, {len(content):,} bytes, sha256 {digest}" in said
        assert (tmp_path / STATISTICS.file).read_bytes() == content
        assert (tmp_path / f"{STATISTICS.file}.sha256").read_text() == f"{digest}  {STATISTICS.file}\n"
        assert "was there" in fetch(tmp_path) and server.starts == [0, 0, 0]  # and two announcements


def test_it_writes_under_its_lock_alone(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content), watched(tmp_path) as writes:
        fetch(tmp_path)
    assert writes and all(locked for _, locked in writes)


def test_the_hub_s_word_counts_where_the_storage_says_nothing(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, storage=True, etag="of-the-storage"):
        assert f"sha256 {hashlib.sha256(content).hexdigest()}" in fetch(tmp_path)


def test_an_interrupted_download_goes_on(monkeypatch, content, tmp_path):
    half = len(content) // 2
    with hub(monkeypatch, content, break_at=half) as server:
        assert "the same command goes on from there; or set" in refused(tmp_path)
        assert not (tmp_path / STATISTICS.file).exists() and server.starts[:3] == [0, 0, half]
    with hub(monkeypatch, content, storage=True) as server:
        fetch(tmp_path)
        assert server.starts == [0, half] and (tmp_path / STATISTICS.file).read_bytes() == content
    assert names(tmp_path) == {STATISTICS.file, f"{STATISTICS.file}.sha256"}


def test_a_server_without_ranges_starts_over(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, break_at=100, ranges=False):
        refused(tmp_path)
    with hub(monkeypatch, content, ranges=False):
        fetch(tmp_path)
    assert (tmp_path / STATISTICS.file).read_bytes() == content


def test_bytes_that_are_not_the_announced_ones_are_not_kept(monkeypatch, content, tmp_path):
    other = bytes(byte ^ 1 for byte in content)
    with hub(monkeypatch, content, instead=other):
        text = refused(tmp_path)
    assert "instead of" in text and "nothing was kept" in text
    assert names(tmp_path) == set()


def test_without_an_announced_digest_size_and_loading_are_checked(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, etag="abc"):
        assert "no digest announced: size and loading checked" in fetch(tmp_path)
    assert not (tmp_path / f"{STATISTICS.file}.sha256").exists()
    with hub(monkeypatch, b"<html>log in</html>", etag="abc"):
        assert "not readable" in refused(tmp_path / "other")


@pytest.mark.parametrize("there", [lambda content: content[:-5], lambda content: content[:-1] + b"?"])
def test_another_file_of_the_name_is_refused_and_left_alone(monkeypatch, content, tmp_path, there):
    (tmp_path / STATISTICS.file).write_bytes(there(content))
    with hub(monkeypatch, content) as server:
        text = refused(tmp_path)
        assert names(tmp_path) == {STATISTICS.file}
    assert "not the published file" in text and "remove it" in text and server.starts == [0]


def test_without_a_network_it_says_which_file_goes_where(monkeypatch, content, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = refused(tmp_path)
    place = f"{STATISTICS.repository}/resolve/main/{STATISTICS.file}"
    assert f"https://huggingface.co/{place} elsewhere and put it at {tmp_path / STATISTICS.file}" in text
    assert f"http://127.0.0.1:9/{place}: not reached" in text
    (tmp_path / STATISTICS.file).write_bytes(content)
    said = fetch(tmp_path)
    assert "loads, sha256" in said and "the hub was not reached" in said
    (tmp_path / f"{STATISTICS.file}.sha256").write_text(f"{'0' * 64}  {STATISTICS.file}\n")
    assert "was downloaded; remove it" in refused(tmp_path)


def test_an_absent_repository_is_one_line(monkeypatch, content, tmp_path):
    with hub(monkeypatch, content, item=PUBLISHED["vavae"]):
        assert "not reached (" in refused(tmp_path)


def test_unknown_names_are_refused(tmp_path):
    text = refusal_of(stage0_prepare.main, "download", "vae", "--dir", tmp_path)
    assert "expected vavae | lightningdit-xl-800ep | lightningdit-xl-64ep | latents-stats | all" in text
