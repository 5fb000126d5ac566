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
    """`seconds` until the command returns (Java clears up for half a second more, which is waited for); `peak_gb`: the sum
    of the process tree's proportional set sizes (shared pages counted once) when it was largest, in 10^9 bytes; `said`:
    standard output."""

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
    returned: list[float] = []
    waiter = threading.Thread(target=lambda: (process.wait(), returned.append(time.monotonic())))
    watcher.start()
    waiter.start()
    said, complaints = process.communicate()
    waiter.join()
    done.set()
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{complaints[-2000:]}")
    return Measured(returned[0] - started, peak[0] / 1e9, said)


def _watch(root: int, peak: list[int], done: threading.Event) -> None:
    """Ten times a second how much is resident, which is a counter; the proportional sizes, which have to be counted, only
    when that has grown. What a watcher takes from the processors is missing in what it measures."""
    parents: dict[int, int] = {}
    most = 0
    while not done.wait(0.1):
        alive = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        parents = {pid: parents[pid] if pid in parents else _parent(pid) for pid in alive}
        tree = _tree(root, parents)
        resident = sum(map(_resident, tree))
        if resident > 1.01 * most:
            most, peak[0] = resident, max(peak[0], sum(map(_proportional, tree)))


def _tree(root: int, parents: dict[int, int]) -> set[int]:
    """A process and all that descend from it."""
    found, added = {root}, True
    while added:
        added = {pid for pid, parent in parents.items() if parent in found} - found
        found |= added
    return found


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _resident(pid: int) -> int:
    """Bytes, 0 of a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """Bytes, 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
