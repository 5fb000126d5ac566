"""Ending a process with SIGKILL at an exact moment: before its n-th change of the disk, as our own code or as the
system sees it."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lake import storage

ROOT = Path(__file__).resolve().parents[2]
STRACE = shutil.which("strace")
DOORS = ("make_folder", "write_bytes", "create_if_absent", "delete_folder", "delete_file", "sync")
CALLS = ("write", "pwrite64", "link", "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir",
         "mkdirat", "rmdir", "fsync", "fdatasync", "ftruncate", "copy_file_range", "sendfile")
PATIENCE_S = 120
PART = "NIGHTREEL_CHAOS_PART"


def disk_doors(counted: Callable[[Callable], Callable]) -> None:
    """Count every passage of this process to the disk."""
    for name in DOORS:
        if hasattr(storage, name):
            setattr(storage, name, counted(getattr(storage, name)))
    os.link = counted(os.link)


def killed_at(n: int, work: Callable[[], object], doors: Callable[[Callable], None] = disk_doors) -> bool:
    """Run `work` in a process that is killed before the n-th time it passes one of the doors; False when it ended by
    itself, which must be well."""
    process = multiprocessing.get_context("fork").Process(target=_dying, args=(n, work, doors))
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode not in (0, -signal.SIGKILL):
        process.kill()
        raise AssertionError(f"it ended with {process.exitcode} instead of being killed or ending well")
    return process.exitcode != 0


def started(work: Callable[[], object]) -> multiprocessing.Process:
    """Run `work` in a process beside this one."""
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    return process


def _dying(n: int, work: Callable[[], object], doors: Callable[[Callable], None]) -> None:
    left = iter(range(n - 1, -1, -1))

    def counted(function: Callable) -> Callable:
        def call(*args: object, **kwargs: object) -> object:
            if not next(left, 1):
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call

    doors(counted)
    sys.stdout = open(os.devnull, "w")
    work()


def disk_changes(argv: list[str], environment: dict[str, str], home: Path) -> list[tuple[str, int]]:
    """The system calls of a command that change files below a home: (call, how many of its kind came before it, plus
    one), in order of time. Where PART says 2/5, the second, seventh, twelfth … of them."""
    log = home.parent / "strace.log"
    done = subprocess.run([STRACE, "-f", "--seccomp-bpf", "-qq", "-y", "-o", log, "-e", f"trace={','.join(CALLS)}",
                           *argv], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-4000:]}"
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for line in log.read_text().splitlines():
        match = re.match(r"(\d+) +(\w+)\((.*)", line)
        if match:
            thread, call, told = match.groups()
            seen[thread, call] += 1
            if str(home) in told and (call, seen[thread, call]) not in found:
                found.append((call, seen[thread, call]))
    first, every = os.environ.get(PART, "1/1").split("/")
    return found[int(first) - 1::int(every)]


def ended_well(argv: list[str], environment: dict[str, str], what: str) -> None:
    """Run a command to its end. AssertionError with its exit code and last words when that is not a good one."""
    done = subprocess.run([sys.executable, "-X", "faulthandler", *argv[1:]], env=environment, cwd=ROOT,
                          capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{what}: ended with {done.returncode}: {done.stdout[-1000:]}{done.stderr[-4000:]}"


def failed_in(call: tuple[str, int], error: str, argv: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a command whose n-th call of a kind fails with an error (ENOSPC, EIO, …). Its exit code and last words."""
    name, n = call
    done = subprocess.run([STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}",
                           "-e", f"inject={name}:error={error}:when={n}", *argv],
                          env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stderr[-500:]


def killed_in(call: tuple[str, int], argv: list[str], environment: dict[str, str]) -> bool:
    """Run a command that is killed when it enters the n-th call of a kind, before that takes effect; False when no
    call came that far."""
    name, n = call
    done = subprocess.run([STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}",
                           "-e", f"inject={name}:signal=KILL:when={n}", *argv],
                          env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), (
        f"{call}: {' '.join(argv)} ended with {done.returncode}: {done.stderr[-4000:]}")
    return done.returncode != 0
