"""A local server that has Zenodo's paths, small archives and bad days."""

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Server:
    """What the local server serves, and what it was asked. `faults` are used up, one for each request of a file."""

    url: str = ""
    files: dict = field(default_factory=dict)  # record: {name: content}
    asked: list = field(default_factory=list)  # (path, Range header)
    sent: int = 0  # bytes of files
    faults: list = field(default_factory=list)


@pytest.fixture
def server():
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def answer(self, status, body, *headers, length=None):
            self.send_response(status)
            for key, value in (("Content-Length", len(body) if length is None else length), *headers):
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            wanted = self.headers["Range"]
            state.asked.append((self.path, wanted))
            if match := re.fullmatch(r"/api/records/(\d+)", self.path):
                files = [
                    {"key": name, "size": len(content), "checksum": "md5:" + hashlib.md5(content).hexdigest()}
                    for name, content in state.files[match[1]].items()
                ]
                return self.answer(200, json.dumps({"id": int(match[1]), "files": files}).encode())
            _, _, record, _, name = self.path.removesuffix("?download=1").split("/")
            if name not in state.files.get(record, {}):
                return self.answer(404, b"no such file")
            body, (fault, number) = state.files[record][name], state.faults.pop(0) if state.faults else ("", None)
            if fault == "status":
                return self.answer(number, b"<h1>not now</h1>")
            headers, length, status = [], None, 200
            if wanted and fault != "no ranges":
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                if start >= len(body):
                    return self.answer(416, b"")
                headers, status = [("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")], 206
                body = body[start:]
            if fault in ("cut", "no ranges") and number is not None:  # promises all and breaks off
                length, body = len(body), body[:number]
            elif fault == "short":  # promises less than all, and keeps that
                body = body[:number]
            elif fault == "long":
                body = body + bytes(number)
            state.sent += len(body)
            self.answer(status, body, *headers, length=length)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield state
    http.shutdown()
    http.server_close()
