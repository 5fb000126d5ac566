"""Files come into being whole, once; homes are where a setting says."""

import io
import multiprocessing
import os
import subprocess
import sys
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lake import storage


def test_a_file_is_made_once(tmp_path):
    path = str(tmp_path / "deep/er/entry.json")
    assert storage.create_if_absent(path, b"first")
    assert not storage.create_if_absent(path, b"second")
    assert Path(path).read_bytes() == b"first" and os.listdir(tmp_path / "deep/er") == ["entry.json"]


def test_a_disk_without_nameless_files_will_do(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    test_a_file_is_made_once(tmp_path)


def _race(path: str, content: bytes, start: Barrier, won: Queue) -> None:
    start.wait()
    won.put((content, storage.create_if_absent(path, content)))


def test_of_many_processes_one_makes_the_file(tmp_path):
    """Eight writers, ten files: one winner each, the file is the winner's, and no temporary file stays."""
    forked = multiprocessing.get_context("fork")
    for n in range(10):
        path, start, won = str(tmp_path / f"{n}.json"), forked.Barrier(8), forked.Queue()
        writers = [forked.Process(target=_race, args=(path, bytes([who]) * 100_000, start, won)) for who in range(8)]
        for writer in writers:
            writer.start()
        outcomes = [won.get(timeout=60) for _ in writers]
        for writer in writers:
            writer.join(60)
        (winner,) = [content for content, made in outcomes if made]
        assert Path(path).read_bytes() == winner
    assert len(os.listdir(tmp_path)) == 10


def test_an_existing_link_or_folder_is_not_replaced(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "folder"):
        assert not storage.create_if_absent(str(tmp_path / name), b"new")
    assert (tmp_path / "elsewhere").read_bytes() == b"kept" and not (tmp_path / "nothing").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full is Linux's")
def test_an_error_of_the_disk_names_the_file():
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        storage.write_bytes("/dev/full", b"x")


def test_a_read_only_home_says_so(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OSError, match="Read-only"):
        storage.create_if_absent(str(tmp_path / "a"), b"x")
    assert os.listdir(tmp_path) == []


def test_a_size_is_of_regular_files_only(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert storage.size(str(tmp_path / "file")) == 3
    assert [storage.size(str(tmp_path / name)) for name in ("link", "absent", "")] == [None, None, None]


def test_bytes_come_back_as_they_were_whatever_the_name(tmp_path):
    for name in ("a.bin", "a.gz", "a.bz2"):
        storage.write_bytes(str(tmp_path / name), b"plain")
        assert (tmp_path / name).read_bytes() == storage.read_bytes(str(tmp_path / name)) == b"plain"


def test_home_is_a_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIGHTREEL_HOME", raising=False)
    assert storage.home() == str(tmp_path / "var")
    monkeypatch.setenv("NIGHTREEL_HOME", "elsewhere")
    assert storage.join("lake", "a") == str(tmp_path / "elsewhere/lake/a")
    monkeypatch.setenv("NIGHTREEL_HOME", "s3://bucket/world/")
    assert storage.join("lake", "a") == "s3://bucket/world/lake/a"
    assert storage.join("/absolute", "a") == "/absolute/a"


def test_names_of_no_folder_are_none(tmp_path):
    assert storage.names(str(tmp_path / "absent")) == []


@pytest.fixture
def rows_and_file():
    sink, rows = io.BytesIO(), pa.table({"user_id": [1, 2, 3], "title": ["a", "b", None]})
    pq.write_table(rows, sink, write_page_checksum=True, compression="none")
    return rows, sink.getvalue()


def test_rows_in_memory_are_verified(rows_and_file):
    rows, file = rows_and_file
    assert storage.parquet(file) == rows
    with pytest.raises(OSError, match="CRC"):
        storage.parquet(file.replace(b"a", b"x", 1))


def test_rows_in_memory_are_read_without_threads_that_outlive_the_call(rows_and_file, tmp_path):
    """One of Arrow's threads that lets go of a Python object while Python ends aborts the process: SIGABRT, rarely."""
    (tmp_path / "rows.parquet").write_bytes(rows_and_file[1])
    code = ("import os, sys; from pathlib import Path; from lake import storage\n"
            "content, before = Path(sys.argv[1]).read_bytes(), os.listdir('/proc/self/task')\n"
            "storage.parquet(content); sys.exit(os.listdir('/proc/self/task') != before)")
    if not Path("/proc/self/task").exists():
        pytest.skip("counts threads in /proc, which Linux has")
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "rows.parquet"], check=False).returncode == 0
