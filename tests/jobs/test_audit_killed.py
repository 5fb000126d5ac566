"""kill -9 of an audit: its small lakes, with people's events, go with the next audit or erasure; a living one's stay."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import audit, erase
from jobs.with_airflow import ROOT
from lake import temporary
from tests.faults import orchestration, real

WHO = 3
NIGHT = ["--as-of", str(real.FIRST + timedelta(days=4)), "--k", "5"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small real home of this process, and a place for temporary files that only this test uses."""
    before = dict(os.environ)
    real.home(tmp_path, days=4, nights=1)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield tmp_path / "temporary"
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def running_audit(place: Path) -> Iterator[subprocess.Popen]:
    """A real audit that has the user's events in a lake of its own and is stopped there by SIGSTOP."""
    before = set(place.iterdir())
    argv = [sys.executable, "-m", "jobs.audit", *NIGHT]
    process = subprocess.Popen(argv, cwd=ROOT, env={**os.environ, "TMPDIR": str(place)}, stdout=subprocess.DEVNULL)

    def landed() -> bool:
        assert process.poll() is None, "the audit was over before it could be stopped"
        return any(map(tells, set(place.iterdir()) - before))

    try:
        orchestration.until("the audit landed the user", landed, 60)
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.wait()


def tells(folder: Path) -> bool:
    """Whether a folder holds events of the user."""
    try:
        return any(WHO in pq.ParquetFile(path).read(["user_id"])["user_id"].to_pylist()
                   for path in folder.glob("lake/raw_events/**/*.parquet"))
    except (OSError, pa.ArrowInvalid):
        return False


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_a_killed_audit_left_goes_and_what_a_living_one_works_in_stays(
        place: Path, capsys: pytest.CaptureFixture) -> None:
    with running_audit(place) as living:
        kept = files(place)
        with running_audit(place) as killed:
            killed.kill()
            killed.wait()
        assert len(list(place.iterdir())) == 2 and files(place).keys() > kept.keys()
        audit.main(NIGHT)
        assert files(place) == kept and living.poll() is None
        with pytest.raises(SystemExit, match="still tell of the user; end what writes"):
            erase.main(["--user", str(WHO)])
        assert files(place) == kept and temporary.in_use() == [str(path) for path in place.iterdir()]
    assert tells(next(place.iterdir()))
    erase.main(["--user", str(WHO)])
    assert not list(place.iterdir()) and "nothing of the user is left" in capsys.readouterr().out


def test_a_link_in_a_shared_place_is_never_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, theirs = tmp_path / "temporary", tmp_path / "theirs"
    place.mkdir(), theirs.mkdir(), (theirs / "file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    (place / f"{temporary.PREFIX}audit-x").symlink_to(theirs)
    with temporary.folder("audit") as mine, temporary.folder("poisoned") as other:
        assert temporary.in_use() == sorted([mine, other])
    assert (theirs / "file").exists() and temporary.remove_dead() == []
