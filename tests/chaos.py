"""Every fault of docs/operating.md fired for real, for as long as it takes: `make chaos`, or some by name.

    python -m tests.chaos [--part 2/5] [NAME …]

--part 2/5 of what is done at every system call does a fifth of the calls, of any-schedule a fifth of the draws: a long
fault in pieces.
Prints one line per fault: how often it fired, whether all was well afterwards, and what was looked at. A fault that did
not fire counts as one that was not survived. Exit code 1 when any was not.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobs.with_airflow import ROOT
from tests.faults import (
    commands, erasing, killing, limits, nights, orchestration, params, publisher, registering, services, skew, spark,
)
from tests.faults.reader import readers


@dataclass(frozen=True)
class Fault:
    """`fire` gets an empty folder, returns how often the fault fired, and raises when it was not survived."""

    name: str
    fire: Callable[[Path], int]
    checked: str


def beside_readers(fire: Callable[[Path], int]) -> Callable[[Path], int]:
    """A fault on the little lake while three readers load the live release again and again."""
    def fired(folder: Path) -> int:
        publisher.two_released_one_ready(folder / "before")
        with readers(folder, 3) as told:
            count = fire(folder)
        assert told["looks"] > 0, "no reader looked"
        return count
    return fired


def little(fire: Callable[[Path], int]) -> Callable[[Path], int]:
    """A fault on the little lake."""
    return lambda folder: fire(publisher.two_released_one_ready(folder / "before"))


def publishes(home: Path) -> int:
    """400 nights; publishing and loading cost at the end what they cost in the beginning (twice, for noise)."""
    told = publisher.many_publishes(home, 400)
    for what in ("publish", "load"):
        assert told[f"{what}_last"] < 2 * told[f"{what}_first"], told
    return 400


def schedules(folder: Path) -> int:
    """Thirty drawn schedules of five nights, or a part of them, as tests/jobs/test_schedules.py draws them."""
    first, every = map(int, os.environ.get(killing.PART, "1/1").split("/"))
    wanted = {**os.environ, "NIGHTREEL_SCHEDULES": f"{first - 1} 30 {every}"}
    argv = [sys.executable, "-m", "pytest", "-qx", f"--basetemp={folder / 'pytest'}", "tests/jobs/test_schedules.py"]
    done = subprocess.run(argv, env=wanted, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return len(range(first - 1, 30, every))


WHOLE = "old release or new, whole, for three readers too; the same after the next run; no debris"
ROOM = "the cause is named; the old release whole; the next night without the limit makes the same and no debris"
FAULTS = (
    *(Fault(f"kill-9-{name}", beside_readers(lambda folder, name=name: publisher.kills_at_doors(folder, name)), WHOLE)
      for name in publisher.ACTIONS),
    *(Fault(f"kill-9-{name}-at-every-system-call",
            beside_readers(lambda folder, name=name: publisher.kills_at_calls(folder, name)), WHOLE)
      for name in publisher.ACTIONS),
    *(Fault(f"{error}-in-{name}-at-every-system-call",
            beside_readers(lambda folder, name=name, error=error: publisher.errors_at_calls(folder, name, error)),
            "old release or new, whole; the cause is named; the next run ends it")
      for error in ("ENOSPC", "EIO", "EROFS") for name in ("release", "block")),
    Fault("ENOSPC-in-dimensions-at-every-system-call",
          beside_readers(lambda folder: publisher.errors_at_calls(folder, "dimensions", "ENOSPC")),
          "no snapshot or a whole one; the cause is named; the next run ends it"),
    Fault("two-publishers", little(lambda home: publisher.two_publishers(home, 50)), "one release, both end well"),
    Fault("zombie-publisher", little(publisher.zombie), "stopped before its link, woken late: nothing moved"),
    Fault("rollback-races-publish", little(publisher.rollback_races_a_publish), "the loser changed nothing"),
    *(Fault(f"kill-9-{name}-at-every-system-call",
            lambda folder, name=name: commands.killed_at_every_call(folder, name),
            "every listed release whole; the next run ends it; the same files as without a kill")
      for name in commands.COMMANDS),
    Fault("any-schedule", schedules, "ranges in any order, killed, in parallel: hashes of nights run one by one"),
    Fault("kill-9-of-driver-jvm-worker-or-executor", spark.killed,
          "0 only with all tables; the next run makes the same hashes; landing as it was, no debris, nobody left"),
    Fault("secrets-in-spark", spark.secrets, "real Spark: in no event log, no other file, nothing it says"),
    Fault("scheduler-killed-in-each-task", orchestration.scheduler_killed_in_each_task,
          "real Airflow: the run succeeds, one whole release, no debris, no process left"),
    Fault("worker-killed-in-each-task", orchestration.worker_killed_in_each_task,
          "real Airflow: each task's retry ends it, one whole release, no debris, no process left"),
    Fault("one-date-twice-at-once", orchestration.one_date_twice_at_once,
          "Airflow and a terminal: both end well, one release, no debris"),
    Fault("backfill-beside-the-nightly", orchestration.backfill_beside_the_nightly,
          "the newest night is live, older ones kept or before it"),
    Fault("backfill-while-the-database-is-locked", orchestration.backfill_while_the_database_is_locked,
          "real Airflow: switching on and creating are tried again; the night is released"),
    Fault("kill-9-in-a-registration", registering.killed_in_registration,
          "before each change in MLflow: the next training leaves one version, champion, with its files; no run is open"),
    Fault("hostile-params", params.hostile, "real Airflow refuses or the first task fails, once; nothing is computed"),
    Fault("services-on-loopback", services.listening,
          "real Airflow and MLflow: no socket of theirs is open to a network, nobody in without the password"),
    Fault("tasks-frozen-until-their-timeout", orchestration.frozen_until_their_timeout,
          "ended by Airflow, the retry releases, no process left"),
    Fault("erase-from-a-whole-service", erasing.erased,
          "real Airflow, a promoted model: no byte tells of the viewer; nights replay; a retrained model, a new night"),
    Fault("files-may-not-grow", limits.file_size, ROOM),
    Fault("too-little-memory", limits.memory, ROOM),
    Fault("disk-full", limits.full_disk, ROOM),
    Fault("no-inodes", limits.no_inodes, ROOM),
    Fault("read-only-disk", limits.read_only, ROOM),
    Fault("skewed-log", skew.skewed, "under 3 times the time, 1.5 times the memory of an even log as long; exact"),
    Fault("thirty-nights-at-once", nights.thirty, "feature tables under 3 times the cost of one night; the same bytes"),
    Fault("400-publishes-clock-set-back", little(publishes), "order right; times flat; a held release reads the same, after a clean-up too"),
)


def tell(fault: Fault) -> bool:
    """Fire one fault and print its line; whether it fired and was survived."""
    started, fired, wrong = time.monotonic(), 0, ""
    with tempfile.TemporaryDirectory(prefix="nightreel-chaos-") as folder:
        try:
            fired = fault.fire(Path(folder))
        except Exception:
            wrong = traceback.format_exc()
    survived = "no" if wrong else "yes" if fired else "did not fire"
    seconds = time.monotonic() - started
    print(f"{fault.name:44} {fired:>6}  {survived:12}  {seconds:>6.0f} s  {fault.checked}", flush=True)
    if wrong:
        print(wrong, file=sys.stderr, flush=True)
    return survived == "yes"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="1/1", help="of the system calls or draws: 2/5 is every fifth from the second on")
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = (options := parser.parse_args(arguments)).names
    os.environ[killing.PART] = options.part
    unknown = set(names) - {fault.name for fault in FAULTS}
    if unknown:
        print(f"no fault {min(unknown)!r}; there are: {', '.join(fault.name for fault in FAULTS)}", file=sys.stderr)
        return 2
    print(f"{'fault':44} {'fired':>6}  {'survived':12}  {'time':>8}  checked")
    told = [tell(fault) for fault in FAULTS if not names or fault.name in names]
    print(f"{sum(told)} of {len(told)} faults survived")
    return 0 if all(told) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
