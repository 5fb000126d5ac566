"""A home on an object store: a real S3 server on loopback, spoken to over HTTP."""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lake import storage
from lake.refusal import Refusal

ROOT = Path(__file__).parents[2]
NIGHT = ("jobs.build events tiles feature_snapshots catalogue histories popularity --as-of 2026-01-12",
         "jobs.recommendations --as-of 2026-01-12 --k 10", "jobs.release --as-of 2026-01-12 --k 10")
HASHES = ("import json; from publishing.live import load_release; live = load_release(); "
          "hashes = {name: manifest.content_hash for name, manifest in live.manifests.items()}; "
          "print(json.dumps(hashes | {'rows': live.recommendations().num_rows}))")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A new bucket of a new server; the environment names the server."""
    command = shutil.which("moto_server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if not importlib.util.find_spec("s3fs") or not command:
        pytest.skip('no S3 server here; to run this: .venv/bin/pip install s3fs "moto[server]"')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([command, "-H", "127.0.0.1", "-p", str(port)], start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}"), ("AWS_ACCESS_KEY_ID", "test"),
                            ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1"),
                            ("AWS_EC2_METADATA_DISABLED", "true")):
            patch.setenv(name, value)
        try:
            _make_bucket(f"http://127.0.0.1:{port}/nightreel")
            yield "s3://nightreel"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(10)


def _make_bucket(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def test_of_many_writers_one_makes_the_file(bucket: str) -> None:
    for turn in range(5):
        path = f"{bucket}/race/{turn}.json"
        with ThreadPoolExecutor(16) as pool:
            made = list(pool.map(lambda n, path=path: storage.create_if_absent(path, bytes([n]) * 100_000), range(16)))
        assert sum(made) == 1 and storage.read_bytes(path) == bytes([made.index(True)]) * 100_000
    assert storage.names(f"{bucket}/race") == [f"{turn}.json" for turn in range(5)]


def test_a_night_there_has_the_content_that_it_has_on_a_disk(bucket: str, tmp_path: Path) -> None:
    _run("jobs.simulate", str(tmp_path / "log"), "--users", "40", "--videos", "80", "--days", "12", home=str(tmp_path))
    told = {}
    for home in (f"{bucket}/home", str(tmp_path / "home")):
        _run("jobs.land", str(tmp_path / "log"), "--preset", "nightreel", home=home)
        for command in NIGHT:
            _run(*command.split(), home=home)
        told[home] = json.loads(_python("-c", HASHES, home=home))
    there, here = told.values()
    assert there == here and there["rows"] > 100


@pytest.mark.parametrize("home", ["hdfs://host/home", "abfs://container/home"])
def test_a_store_that_can_not_tell_who_came_first_is_refused(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", home)
    with pytest.raises(Refusal, match="NIGHTREEL_HOME on a disk, or on s3:// or gs://"):
        storage.home()  # before anything is read or written
    with pytest.raises(Refusal, match="NIGHTREEL_HOME on a disk, or on s3:// or gs://"):
        storage._create_in_object_store(f"{home}/log/releases/000001.json", b"{}")


def _run(module: str, *arguments: str, home: str) -> str:
    return _python("-m", module, *arguments, home=home)


def _python(*arguments: str, home: str) -> str:
    ran = subprocess.run([sys.executable, *arguments], cwd=ROOT, text=True, capture_output=True, check=False,
                         env=os.environ | {"NIGHTREEL_HOME": home, "SPARK_MASTER": "in-process"})
    assert ran.returncode == 0, f"{arguments}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}"
    return ran.stdout.splitlines()[-1] if ran.stdout else ""
