"""Run a command and measure it: wall time, and the memory of all its processes at once."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """`seconds` from start to end; `peak_gb`: the largest sum of the process tree's proportional set sizes (shared pages
    counted once), in 10^9 bytes, sampled ten times a second; `said`: standard output."""

    seconds: float
    peak_gb: float
    said: str


def measured(command: list[str], environment: dict[str, str] | None = None) -> Measured:
    """Run it; SystemExit with the end of its standard error when it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **(environment or {})})
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    said, complaints = process.communicate()
    seconds = time.monotonic() - started
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{complaints[-2000:]}")
    return Measured(seconds, peak[0] / 1e9, said)


def _watch(root: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.1):
        peak[0] = max(peak[0], sum(map(_memory, _tree(root))))


def _tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdecimal()}
    found, added = {root}, True
    while added:
        added = {pid for pid, parent in parents.items() if parent in found} - found
        found |= added
    return sorted(found)


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _memory(pid: int) -> int:
    """Bytes of proportional set size, 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
