"""MLflow down, silent or failing: a bounded wait, the model and the promotion log stand, one version afterwards."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobs import train
from lake import numbered_log
from tests.training import planted
from training import registry

TRAIN = ["--as-of", planted.AS_OF.isoformat()]


class Failing(BaseHTTPRequestHandler):
    """Answers every request with 500."""

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_error(500)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def failing() -> Iterator[tuple[str, object]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Failing)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lambda: server.asked
    finally:
        server.shutdown()


@contextmanager
def silent() -> Iterator[tuple[str, object]]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"http://127.0.0.1:{door.getsockname()[1]}", lambda: 1


@contextmanager
def down() -> Iterator[tuple[str, object]]:
    yield "http://127.0.0.1:9", lambda: 1


@pytest.mark.parametrize("broken", [down, silent, failing])
def test_a_broken_registry_costs_a_bounded_wait_and_nothing_else(planted_home, tmp_path, monkeypatch, capsys, broken):
    monkeypatch.setenv("NIGHTREEL_HOME", str(shutil.copytree(planted_home, tmp_path / "home")))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (before,) = numbered_log.entries("promotions")
    with broken() as (address, asked):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//me:hunter2@"))
        started = time.monotonic()
        train.main(TRAIN)
        assert time.monotonic() - started < 30 and asked()
    said = capsys.readouterr().out
    assert "not in MLflow" in said and "hunter2" not in said
    assert numbered_log.entries("promotions") == [before]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    for _ in range(2):
        train.main(TRAIN)
    with registry._client() as client:
        versions = client.search_model_versions(f"name = '{registry.MODEL}'")
    assert [int(version.version) for version in versions] == [1]
