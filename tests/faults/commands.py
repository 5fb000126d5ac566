"""Landing, clean-up and erasure killed at every system call that changes a file, on a small real home."""

import os
import re
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from jobs.small_lake import environment
from lake import numbered_log
from publishing.live import load_release
from tests.faults import killing, publisher, real

COMMANDS = {"land": ["jobs.land", "raw", "--seal-through", "2026-01-08"],
            "clean": ["jobs.clean", "--keep", "1", "--grace-hours", "0"], "erase": ["jobs.erase", "--user", "3"]}


def killed_at_every_call(folder: Path, name: str) -> int:
    """Every listed release is whole after each kill, and the next run of the command ends what it began."""
    before = dict(os.environ)
    try:
        home, argv = real.home(folder), [sys.executable, "-m", *COMMANDS[name]]
        raw = folder / "next/raw"
        for day in (6, 7):
            real.parquet(raw / f"{day}.parquet", real.log_of(real.FIRST + timedelta(days=day)))
        argv = [str(raw) if part == "raw" else part for part in argv]
        whole = shutil.copytree(home, folder / "whole")
        calls, fired = killing.disk_changes(argv, _environment(whole), whole), 0
        for n, call in enumerate(calls):
            again = shutil.copytree(home, folder / f"killed {n}")
            fired += killing.killed_in(call, argv, _environment(again))
            with environment(NIGHTREEL_HOME=str(again)):
                for number in numbered_log.numbers("releases"):
                    load_release(number)
            killing.ended_well(argv, _environment(again), f"{name}, killed in {call}, the next run")
            assert _files(again) == _files(whole), f"{name} killed in {call}: {_files(again) ^ _files(whole)} differ"
            shutil.rmtree(again)
        return fired
    finally:
        os.environ.clear()
        os.environ.update(before)


def _environment(home: Path) -> dict[str, str]:
    return publisher.environment(home) | real.SETTINGS


def _files(home: Path) -> set[str]:
    """Names of a home, but for the log of old → new, in which a second run repeats itself."""
    return {re.sub(r"\d{6}\.json", "N.json", name) if name.startswith("log/erasures") else name
            for name in publisher.files_of(home)}
