"""Folders for a while that hold people's events: each is locked by the process that works in it, so that what a killed
one left is known as such, and the next one takes it away."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "nightreel-scratch-"


@contextmanager
def folder(purpose: str) -> Iterator[str]:
    """An empty folder in the system's place for temporary files (TMPDIR), for its owner alone, removed afterwards;
    those of dead processes go first."""
    remove_dead()
    path, lock = _locked(purpose)
    try:
        yield path
    finally:
        shutil.rmtree(path)
        os.close(lock)


def remove_dead() -> list[str]:
    """Remove the folders that killed processes of this user left; their paths. Those in use are not touched."""
    removed = []
    for path in _folders():
        if (lock := _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            removed.append(path)
    return removed


def in_use() -> list[str]:
    """The folders that some process works in."""
    remove_dead()
    return _folders()


def _folders() -> list[str]:
    """Real folders of this user; a link of somebody else's in a shared place is none."""
    return [str(path) for path in sorted(Path(tempfile.gettempdir()).glob(f"{PREFIX}*"))
            if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid()]


def _locked(purpose: str) -> tuple[str, int]:
    """A new folder and its lock. Another process that looks for dead ones may take it before it is locked: then
    another one."""
    while True:
        path = tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-")
        lock = _lock(path, fcntl.LOCK_EX)
        if lock is not None:
            return path, lock


def _lock(path: str, how: int) -> int | None:
    """A descriptor that holds the lock of a folder until it is closed, or its process dead; None where another process
    has it or the folder is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.path.exists(path):
        return descriptor
    os.close(descriptor)
    return None
