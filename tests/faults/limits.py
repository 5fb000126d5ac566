"""A night without room: files that may not grow, a disk or its inodes used up, a read-only one, too little memory.

Each fault runs the commands of a night on a small real home under a limit. Where one fails, its last words name the
cause, the old release is whole, and the same commands without the limit make what an undisturbed night makes."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from jobs.small_lake import environment
from jobs.with_airflow import ROOT
from publishing.live import load_release
from tests.faults import orchestration, promises, publisher, real

AS_OF = real.FIRST + timedelta(days=5)
DAY = ["--as-of", str(AS_OF)]
NIGHT = (["jobs.build", *real.NIGHT, *DAY], ["jobs.recommendations", *DAY, "--k", "5"],
         ["jobs.release", *DAY, "--k", "5"])
PATIENCE_S, ENDED = 90, "its time was up"
CAUSES = {"file size": ["File too large"], "disk": ["No space left on device"], "inodes": ["No space left on device"],
          "read-only": ["Read-only file system"],
          "memory": ["MemoryError", "llocat", "memory", "bad_alloc", "failed to map", "can't start new thread",
                     "Resource temporarily unavailable", ENDED, "SIGSEGV", "SIGABRT",
                     "load shared object file 'libllvmlite.so'"]}  # numba names what found no room, not the room
Limit = Callable[[], None]


def night(home: Path, limit: Limit = lambda: None, **settings: str) -> tuple[int, str]:
    """The commands of a night, up to the first that fails: its exit code and last words, or what ended it, as the shell
    and Airflow tell it. What is denied memory while a library is imported may crash in it, and OpenBLAS asks for ever:
    what does not end is ended, as Airflow's timeouts do."""
    for argv in NIGHT:
        try:
            done = subprocess.run([sys.executable, "-m", *argv], cwd=ROOT, capture_output=True, text=True, check=False,
                                  env=publisher.environment(home) | real.SETTINGS | settings, timeout=PATIENCE_S,
                                  preexec_fn=limit)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL, f"{argv[0]}: {ENDED}"
        if done.returncode:
            by = f"ended by {signal.Signals(-done.returncode).name}" if done.returncode < 0 else ""
            return done.returncode, f"{argv[0]}: {done.stderr[-1500:]}{by}"
    return 0, ""


def seen(home: Path) -> tuple[int, str]:
    """Number and content of the live release, which is whole, or this raises; nobody of a home is left running."""
    promises.whole_release(home)
    orchestration.until("what a command left behind ends", lambda: not orchestration.ours(home), 30)
    with environment(NIGHTREEL_HOME=str(home)):
        live = load_release()
        assert live.recommendations().num_rows == live.release.counts["rows"]
        return live.release.number, live.release.content


class Sweep:
    """A home before a night and the same home after it, and the checks around each limit."""

    def __init__(self, folder: Path) -> None:
        before = dict(os.environ)
        try:
            self.before = real.home(folder, days=4, nights=1)
            real.land_days(folder, [AS_OF - timedelta(days=1)])
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.whole = Path(shutil.copytree(self.before, folder / "whole"))
        assert night(self.whole) == (0, "")
        self.landed = orchestration.landing(self.before)
        self.old, self.new = seen(self.before), seen(self.whole)

    def under(self, home: Path, kind: str, limit: Limit = lambda: None, **settings: str) -> bool:
        """Run the night under a limit; whether it failed, with the old release whole and the cause named."""
        code, said = night(home, limit, **settings)
        assert seen(home) == (self.new if code == 0 else self.old), f"{kind}: {code}, {said}"
        assert orchestration.landing(home) == self.landed, f"{kind}: the landing area changed"
        assert code == 0 or any(cause in said for cause in CAUSES[kind]), f"{kind}: exit code {code}, {said}"
        return code != 0

    def mended(self, home: Path) -> None:
        """The next plain run makes the same release and leaves nothing else."""
        assert night(home) == (0, "")
        assert seen(home) == self.new
        assert publisher.files_of(home) == publisher.files_of(self.whole), "debris"


def in_processes(folder: Path, kind: str, limits: dict[str, Limit]) -> int:
    """Limits of the process itself, which its next run does not have."""
    sweep, fired = Sweep(folder), 0
    for name, limit in limits.items():
        home = Path(shutil.copytree(sweep.before, folder / name))
        fired += sweep.under(home, kind, limit)
        sweep.mended(home)
    return fired


def file_size(folder: Path, sizes: tuple[int, ...] = (0, 600, 2_000, 5_000, 10_000, 20_000, 40_000)) -> int:
    """RLIMIT_FSIZE, bytes: files of the night can't grow beyond it."""
    return in_processes(folder, "file size", {f"file size {size}": _limit(resource.RLIMIT_FSIZE, size)
                                              for size in sizes})


def memory(folder: Path, megabytes: tuple[int, ...] = (150, 300, 500, 700, 900, 1_100, 1_400, 1_800)) -> int:
    """RLIMIT_AS: the address space of each process, libraries included."""
    return in_processes(folder, "memory", {f"memory {size}": _limit(resource.RLIMIT_AS, size * 2**20)
                                           for size in megabytes})


def _limit(what: int, value: int) -> Limit:
    return lambda: resource.setrlimit(what, (value, value))


def full_disk(folder: Path, spare_kib: tuple[int, ...] = (0, 8, 16, 32, 64, 128)) -> int:
    """A disk with so many KiB left."""
    return _on_disks(folder, "disk", [("size={bytes}", 4096 * (kib // 4)) for kib in spare_kib])


def no_inodes(folder: Path, spare: tuple[int, ...] = (0, 1, 3, 6, 12, 24)) -> int:
    """A disk with room for so many more files and folders."""
    return _on_disks(folder, "inodes", [("nr_inodes={inodes}", more) for more in spare])


def _on_disks(folder: Path, kind: str, options: list[tuple[str, int]]) -> int:
    sweep, fired = Sweep(folder), 0
    for option, spare in options:
        with disk(folder / "disk", sweep.before) as (home, remount):
            used = os.statvfs(home)
            remount(option.format(bytes=(used.f_blocks - used.f_bfree) * used.f_frsize + spare,
                                  inodes=used.f_files - used.f_ffree + spare))
            fired += sweep.under(home, kind)
            remount("size=1g,nr_inodes=100000")
            sweep.mended(home)
    return fired


def read_only(folder: Path) -> int:
    """A disk that can't be written to."""
    sweep = Sweep(folder)
    with disk(folder / "disk", sweep.before) as (home, remount):
        remount("ro")
        fired = sweep.under(home, "read-only")
        remount("rw")
        sweep.mended(home)
    return fired


@contextmanager
def disk(folder: Path, before: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A disk of its own (tmpfs, which needs the right to mount) with a copy of a home, and what changes its options."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "nightreel", folder], check=True)
    try:
        home = Path(shutil.copytree(before, folder / "home"))
        yield home, lambda options: subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True) and None
    finally:
        subprocess.run(["umount", folder], check=True)
