"""MLflow down, silent, failing or endlessly slow: a bounded wait, the model and the promotion log stand, one version afterwards."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobs import train
from lake import numbered_log
from tests.training import planted
from training import registry

TRAIN = ["--as-of", planted.AS_OF.isoformat()]


class Trickling(BaseHTTPRequestHandler):
    """Answers every request with one byte, and another, and another."""

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(b" ")
                time.sleep(0.2)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Silence."""


class Failing(BaseHTTPRequestHandler):
    """Answers every request with 500."""

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_error(500)

    do_POST = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[tuple[str, object]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lambda: server.asked
    finally:
        server.shutdown()


def failing() -> AbstractContextManager[tuple[str, object]]:
    return serving(Failing)


def trickling() -> AbstractContextManager[tuple[str, object]]:
    return serving(Trickling)


@contextmanager
def silent() -> Iterator[tuple[str, object]]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"http://127.0.0.1:{door.getsockname()[1]}", lambda: 1


@contextmanager
def down() -> Iterator[tuple[str, object]]:
    yield "http://127.0.0.1:9", lambda: 1


@pytest.mark.parametrize("broken", [down, silent, failing, trickling])
def test_a_broken_registry_costs_a_bounded_wait_and_nothing_else(planted_home, tmp_path, monkeypatch, capsys, broken):
    monkeypatch.setenv("NIGHTREEL_HOME", str(shutil.copytree(planted_home, tmp_path / "home")))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("NIGHTREEL_MLFLOW_LONGEST_S", "2")
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
    monkeypatch.delenv("NIGHTREEL_MLFLOW_LONGEST_S")
    for _ in range(2):
        train.main(TRAIN)
    with registry._client() as client:
        versions = client.search_model_versions(f"name = '{registry.MODEL}'")
    assert [int(version.version) for version in versions] == [1]


def test_a_rejected_training_moves_no_alias_and_what_moved_by_hand_is_put_back(planted_home, tmp_path, monkeypatch):
    """And what the environment holds in secret is in no tag, parameter or artifact."""
    home = shutil.copytree(planted_home, tmp_path / "home")
    for name, value in {"NIGHTREEL_HOME": str(home), "AWS_SECRET_ACCESS_KEY": "hunter2hunter2",
                        "REDIS_URL": "redis://:hunter2hunter2@127.0.0.1:9/0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train.main(TRAIN)
    (promoted,) = numbered_log.entries("promotions")
    numbered_log.append("promotions", lambda _: promoted | {
        "as_of": str(planted.AS_OF + timedelta(days=7)), "identity": "0" * 64, "decision": "rejected",
        "reason": "worse than the champion"})
    with registry._client() as client:
        (version,) = client.search_model_versions(f"name = '{registry.MODEL}'")
        client.delete_registered_model_alias(registry.MODEL, "champion")
        client.set_registered_model_alias(registry.MODEL, "challenger", version.version)
    assert registry.repair_aliases() == {"champion": int(version.version)}
    with registry._client() as client:
        aliases = client.get_registered_model(registry.MODEL).aliases
    assert {alias: int(number) for alias, number in aliases.items()} == {"champion": int(version.version)}
    files = [path for path in home.rglob("*") if path.is_file()]
    assert home / "mlflow/mlflow.db" in files
    assert not [path for path in files if b"hunter2" in path.read_bytes()]
