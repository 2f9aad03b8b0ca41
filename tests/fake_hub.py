"""A small Hub on this machine: a few files of one repository, and everything that can go wrong with one; it
takes files, too.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Answers(BaseHTTPRequestHandler):
    """Answers as the hub does; `server.plan` says what goes wrong."""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def do_PUT(self):
        """Settings of the repository."""
        self.server.settings |= self.sent()
        self.send_json({})

    def do_POST(self):
        """A repository made, and a commit of files that stand in it as they are."""
        plan, what = self.server.plan, self.path.removeprefix(f"/api/models/{self.server.repository}/")
        if plan.get("error"):
            return self.refuse(*plan["error"])
        if self.path == "/api/repos/create":
            # what is there stays as it is
            self.server.settings = self.sent() | self.server.settings
            return self.send_json({"url": f"https://huggingface.co/{self.server.repository}"})
        if what.startswith("preupload"):
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            return self.send_json({"files": [{"path": one["path"], **modes} for one in self.sent()["files"]]})
        if what.startswith("commit"):
            for line in self.sent(lines=True):
                if line["key"] == "file":
                    value = line["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            return self.send_json(
                {
                    "commitUrl": f"https://huggingface.co/{self.server.repository}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "pullRequestUrl": None,
                }
            )
        self.sent()
        self.send_json({"errors": [], "warnings": []})  # of the card's metadata

    def sent(self, lines=False):
        """JSON that came with the request."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return [json.loads(line) for line in body.splitlines()] if lines else json.loads(body or b"{}")

    def answer(self, wants_body):
        plan, repository = self.server.plan, self.server.repository
        if plan.get("error"):
            return self.refuse(*plan["error"])
        if self.path.startswith(f"/api/models/{repository}/tree/"):
            return self.list_files(self.path.split("/tree/")[1].split("?")[0])
        if self.path.startswith(f"/api/models/{repository}/revision/main"):
            return self.send_json({"id": repository, "sha": COMMIT, "siblings": []})
        place, _, file = (
            self.path.removeprefix("/storage").removeprefix(f"/{repository}/resolve/").partition("/")
        )
        if repository not in self.path:
            return self.refuse(401, "RepoNotFound")
        if place not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if file not in self.server.files:
            return self.refuse(404, "EntryNotFound")
        content = self.server.files[file]
        if plan.get("storage") and "storage" not in self.path:
            return self.send_on(content)
        self.send_file(content, wants_body)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def list_files(self, revision):
        if revision not in ("main", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        files = [
            {"type": "file", "path": name, "size": len(content), "oid": "0"}
            for name, content in self.server.files.items()
        ]
        self.send_json(files)

    def send_json(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, content, wants_body):
        plan = self.server.plan
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{plan.get("etag", hashlib.sha256(content).hexdigest())}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not wants_body:
            return
        self.server.starts.append(start)
        body = plan.get("instead", content)[start:]
        if "break_once_at" in plan:
            body, self.close_connection = body[: plan.pop("break_once_at")], True
        with suppress(OSError):
            self.wfile.write(body)

    def send_on(self, content):
        """As the hub does: what the file is, then where its storage is, which knows nothing of it."""
        self.send_response(302)
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        elsewhere = f"http://localhost:{self.server.server_port}/storage{self.path}"
        self.send_header("Location", elsewhere)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def fake_hub(
    monkeypatch, repository: str, files: Mapping[str, bytes], **plan
) -> Iterator[ThreadingHTTPServer]:
    """A server of `files`, as the environment's endpoint; `starts` lists where each body sent began, and
    `settings` is what the repository was told to be.

    `plan`: error (status, code), storage, etag, instead, break_once_at.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.repository, server.files, server.plan, server.starts = repository, files, plan, []
    server.settings = {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
