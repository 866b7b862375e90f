"""Stores that are slow, break off, or answer something else: one line each, and an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest
from datasets_by_hand import forget_connections, s3_settings
from zarr.storage import FsspecStore

from channelbench.errors import RequestError
from channelbench.generation import generate
from channelbench.store import location, open_dataset
from channelbench.store.guarded import LIMIT_VARIABLE, limit_s
from channelbench.testing import small_spec

TINY = {"sub6__num_subcarriers": 4, "mmwave__num_subcarriers": 2, "mmwave__array__columns": 8}
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to the hotel</body></html>"
Shell = Callable[..., tuple[int, str, str]]


class Host(ThreadingHTTPServer):
    """A host of one manner, whatever it is asked for."""

    daemon_threads = True
    manner = "html"
    leave = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever has gone away is no error of the host's."""


class Answer(BaseHTTPRequestHandler):
    """What that host says."""

    server: Host

    def do_GET(self) -> None:
        """Of ``GET``, and of everything else."""
        manner = self.server.manner
        if manner == "silent":
            self.server.leave.wait(60)
        elif manner == "slow":  # a byte now and then: no single wait is long
            self._head(200, 10_000)
            while not self.server.leave.wait(0.2):
                self.wfile.write(b" ")
        elif manner == "drops":
            self._head(200, 10_000)
            self.wfile.write(b"{" if self.command != "HEAD" else b"")
        elif manner == "html":
            self._head(200, len(HTML))
        else:
            self._head(int(manner), len(HTML))
        if manner not in ("silent", "slow", "drops") and self.command != "HEAD":
            self.wfile.write(HTML)

    do_HEAD = do_PUT = do_POST = do_GET

    def _head(self, code: int, length: int) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Where S3 and HTTP are looked for; it says what its ``manner`` is."""
    pytest.importorskip("s3fs")
    with Host(("127.0.0.1", 0), Answer) as server:
        server.leave.clear()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for name, value in s3_settings(f"http://127.0.0.1:{server.server_port}").items():
            monkeypatch.setenv(name, value)
        forget_connections()
        yield server
        server.leave.set()
        server.shutdown()
        forget_connections()


GENERATE = ["generate", "--scenario", "channelbench.testing.factories:FewRays", "--samples", "60", "--out"]
SLOW = "no answer to a request for bucket/x.zarr"
SAID = {
    "silent": (SLOW, SLOW),
    "slow": (SLOW, SLOW),
    "drops": ("received 1 of 10000 bytes", "Connection was closed"),
    "html": ("zarr.json is HTML, 96 bytes: 'Sign in Sign in to the hotel'",) * 2,
    "403": ("Forbidden (HTTP 403)", "(HTTP 403)"),
    "503": ("Service Unavailable (HTTP 503)", "(HTTP 503)"),
}
"""What reading and writing are told."""


def one_line(result: tuple[int, str, str], fragment: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert fragment in err


@pytest.mark.parametrize("manner", SAID)
def test_it_is_said_what_the_host_does(shell: Shell, host: Host, manner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host.manner = manner
    monkeypatch.setenv(LIMIT_VARIABLE, "1" if manner in ("silent", "slow") else "60")
    reading, writing = SAID[manner]
    one_line(shell("verify", "s3://bucket/x.zarr"), reading)
    one_line(shell(*GENERATE, "s3://bucket/x.zarr"), writing)


@pytest.mark.parametrize(("manner", "fragment"), [("503", "503, message='Service Unavailable'"), ("html", "is HTML")])
def test_of_plain_http_too(shell: Shell, host: Host, manner: str, fragment: str) -> None:
    host.manner = manner
    one_line(shell("verify", f"http://127.0.0.1:{host.server_port}/x.zarr"), fragment)


def test_samples_have_ten_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "0.05")
    dataset = open_dataset(generate(small_spec(**TINY), "memory://slow/x.zarr", remember=False))
    waited = []

    async def never(*_: object) -> None:
        waited.append(1)
        await asyncio.sleep(600)

    monkeypatch.setattr(FsspecStore, "get", never)
    with pytest.raises(TimeoutError, match=r"h_sub6/c/0/0/0/0 within 0.5 s \(CHANNELBENCH_STORE_TIMEOUT"):
        dataset.array("h_sub6", "test")
    assert waited


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", ""])
def test_a_limit_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(RequestError, match=f"{LIMIT_VARIABLE}: expected seconds"):
        limit_s()


def test_who_has_set_retries_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE"):
        monkeypatch.delenv(name, raising=False)
    assert location._options("s3://bucket/x") == {"config_kwargs": {"retries": {"total_max_attempts": 2}}}
    assert location._options("memory://x") == {}
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 5}})
    assert location._options("s3://bucket/x") == {}
    monkeypatch.delitem(fsspec.config.conf, "s3")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    assert location._options("s3://bucket/x") == {}
