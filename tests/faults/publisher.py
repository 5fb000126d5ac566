"""The publisher under fire, on the little lake of tests/publishing. Each fault returns how often it fired; it raises
when what N1…N8 of the design promise did not hold."""

import errno
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path

from jobs import clean
from lake import lineage, numbered_log
from publishing import release, retention
from publishing.live import load_release
from publishing.release import publish
from publishing.rollback import rollback
from tests.faults import act, killing, reader
from tests.publishing.conftest import INPUTS, D, K, make_night, promote

ACTIONS = {"dimensions": [str(D[3])], "release": ["--as-of", str(D[2]), "--k", str(K)], "rollback": ["--to", "1"],
           "block": ["--video", "v3", "--reason", "rights"]}


@contextmanager
def at(home: Path):
    """The little lake lives here for a while."""
    before, inputs = os.environ.get("NIGHTREEL_HOME"), dict(lineage._INPUTS)
    os.environ["NIGHTREEL_HOME"] = str(home)
    lineage._INPUTS.update(INPUTS)
    try:
        yield
    finally:
        os.environ.pop("NIGHTREEL_HOME") if before is None else os.environ.update(NIGHTREEL_HOME=before)
        lineage._INPUTS.update(inputs)


def two_released_one_ready(home: Path) -> Path:
    """Three nights of one model; the first two are released."""
    with at(home):
        promote(D[0])
        for day in D[:3]:
            make_night(day)
        publish(D[0], K), publish(D[1], K)
    return home


def files_of(home: Path) -> Counter[str]:
    """Every file and folder below a home, counted, whatever the attempts that wrote them were called."""
    return Counter(re.sub(r"([0-9a-f]{16})-[0-9a-f]{12}", r"\1-*", str(path.relative_to(home)))
                   for path in home.rglob("*"))


def seen(home: Path) -> tuple[int, str, str]:
    """What a reader of a home sees: number, content, tombstones. Raises when the live release is not whole."""
    with at(home):
        live = load_release().release
    return live.number, live.content, str(live.tombstones)


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.faults.act", name, *ACTIONS[name]]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "NIGHTREEL_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}


def _in(home: Path, name: str) -> None:
    with at(home):
        assert act.act(name, ACTIONS[name]) == 0


def kills_at_doors(folder: Path, name: str, every: int = 1) -> int:
    """Killed before each of a command's own changes of the disk, or before every so manieth."""
    return _kills(folder, name, lambda home, n: killing.killed_at(1 + (n - 1) * every, lambda: _in(home, name)))


def kills_at_calls(folder: Path, name: str, limit: int | None = None) -> int:
    """Killed at each system call of a command that changes a file below the home, or at `limit` of them spread out."""
    counted = shutil.copytree(folder / "before", folder / f"counted {name}")
    calls = killing.disk_changes(command(name), environment(counted), counted)
    calls = calls if limit is None else calls[::-(-len(calls) // limit)]
    return _kills(folder, name, lambda home, n: n <= len(calls) and killing.killed_in(
        calls[n - 1], command(name), environment(home)), expected=len(calls))


def errors_at_calls(folder: Path, name: str, error: str, limit: int | None = None) -> int:
    """Every system call of a command that changes a file fails once: a full disk, a read-only one, an I/O error. The
    old release stays whole, the cause is named, and the next run ends it. limit: only so many calls, spread out."""
    counted = shutil.copytree(folder / "before", folder / f"counted {name} {error}")
    calls = killing.disk_changes(command(name), environment(counted), counted)
    calls = calls if limit is None else calls[::-(-len(calls) // limit)]
    old, new, fired = seen(folder / "before"), seen(counted), 0
    for n, call in enumerate(calls):
        home = shutil.copytree(folder / "before", folder / f"{name} {error} {n}")
        reader.show(folder, home)
        code, said = killing.failed_in(call, error, command(name), environment(home))
        assert seen(home) in (old, new) and (code or seen(home) == new), f"{name}: {call} failed with {error}"
        if code:
            fired += 1
            assert os.strerror(getattr(errno, error)) in said, f"{name}: {call} failed with {error}: {said}"
        _in(home, name)
        assert seen(home)[1:] == new[1:] and files_of(home) == files_of(counted), f"{name}: after {error} in {call}"
    return fired


def _kills(folder: Path, name: str, kill: Callable[[Path, int], bool], expected: int | None = None) -> int:
    old, whole = seen(folder / "before"), shutil.copytree(folder / "before", folder / f"whole {name}")
    _in(whole, name)
    new, n = seen(whole), 0
    while True:
        n += 1
        home = shutil.copytree(folder / "before", folder / f"{name} {n}")
        reader.show(folder, home)
        if not kill(home, n):
            break
        assert seen(home) in (old, new), f"{name}, killed at {n}: neither the old release nor the new one"
        _in(home, name)
        assert seen(home)[1:] == new[1:], f"{name}, killed at {n}: the next plain run made something else"
        assert files_of(home) == files_of(whole), f"{name}, killed at {n}: debris after the next run"
    assert expected is None or n - 1 == expected, f"{name}: {n - 1} of {expected} kills fired"
    return n - 1


def two_publishers(home: Path, rounds: int) -> int:
    """The same night released by two processes at once: one release, both end well."""
    forked = multiprocessing.get_context("fork")
    with at(home):
        for number in range(rounds):
            day = D[2] + timedelta(days=number)
            make_night(day)
            both = [forked.Process(target=publish, args=(day, K)) for _ in range(2)]
            before = numbered_log.numbers("releases")[-1]
            for each in both:
                each.start()
            for each in both:
                each.join(60)
            assert [each.exitcode for each in both] == [0, 0]
            assert numbered_log.numbers("releases")[-1] == before + 1, "one release of one night"
            assert load_release().release.date == day
    return rounds


def frozen(work: Callable[[], object]) -> multiprocessing.Process:
    """A process stopped by SIGSTOP at the moment before its release file would come into being."""
    process = multiprocessing.get_context("fork").Process(target=_freezing, args=(work,), daemon=True)
    process.start()
    for _ in range(1200):
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("it never came to its release file")


def _freezing(work: Callable[[], object]) -> None:
    link, awake = os.link, []

    def stop(source: str, target: str, **how: object) -> None:
        if "/releases/" in target and not awake:
            awake.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)
        link(source, target, **how)

    os.link, sys.stdout, sys.stderr = stop, open(os.devnull, "w"), open(os.devnull, "w")
    work()


def woken(process: multiprocessing.Process) -> int:
    os.kill(process.pid, signal.SIGCONT)
    process.join(60)
    return process.exitcode


def zombie(home: Path) -> int:
    """A publisher wakes after its retry released the same night, and another after a newer night went live."""
    with at(home):
        asleep = frozen(lambda: publish(D[2], K))
        publish(D[2], K)
        before = seen(home)
        assert woken(asleep) == 0 and seen(home) == before, "the zombie moved the release"
        make_night(D[3]), make_night(D[4])
        asleep = frozen(lambda: publish(D[3], K))
        publish(D[4], K)
        before = seen(home)
        assert woken(asleep) == 0 and seen(home) == before and load_release().release.date == D[4]
    return 2


def rollback_races_a_publish(home: Path) -> int:
    """A rollback that a publish overtook changes nothing and says so; a publish that a rollback overtook goes live by
    the rules: it is newer than what was rolled back."""
    with at(home):
        asleep = frozen(rollback)
        publish(D[2], K)
        before = seen(home)
        assert woken(asleep) == 1 and seen(home) == before, "a rollback moved what nobody had looked at"
        make_night(D[3])
        asleep = frozen(lambda: publish(D[3], K))
        rollback()
        assert woken(asleep) == 0 and load_release().release.date == D[3]
    return 2


def clock(moment: Callable[[], float]) -> type:
    """A datetime whose now() tells another time."""
    class Clock(release.datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            return cls.fromtimestamp(moment(), tz)
    return Clock


def many_publishes(home: Path, count: int) -> dict[str, float]:
    """A reader holds a release open through `count` nightly publishes, half of them by a clock that was set back a day,
    and a clean-up that leaves the live one, a pinned one and the newest.

    Returns seconds: publish_first and publish_last (medians of twenty), load_first and load_last.
    """
    today, seconds = release.datetime, {"publish": [], "load": []}
    with at(home):
        held = load_release()
        rows = held.recommendations()
        try:
            for number in range(count):
                if number == count // 2:
                    release.datetime = clock(lambda: time.time() - 86_400)
                day = D[2] + timedelta(days=number)
                make_night(day)
                seconds["publish"].append(_timed(lambda day=day: publish(day, K)))
                seconds["load"].append(_timed(load_release))
        finally:
            release.datetime = today
        assert held.recommendations().equals(rows), "the release that a reader holds changed"
        numbers = numbered_log.entries("releases")
        assert [entry["as_of"] for entry in numbers] == sorted(entry["as_of"] for entry in numbers)
        assert load_release().release.date == D[2] + timedelta(days=count - 1)
        committed = [entry["recorded"]["committed_at"] for entry in numbers]
        assert committed != sorted(committed), "the clock was not set back"
        retention.pin(1, True)
        with redirect_stdout(StringIO()):
            clean.clean(retention.Rules(keep=count // 3))
        kept = numbered_log.numbers("releases")
        assert kept == [1, *range(kept[-1] - count // 3 + 1, kept[-1] + 1)] and kept[-1] == count + 2
        assert held.release.number not in kept and held.recommendations().equals(rows), "a clean-up took what is read"
        for number in (1, kept[1], kept[-1]):
            load_release(number)
    return {f"{what}_{when}": sorted(part)[len(part) // 2] for what, all_ in seconds.items()
            for when, part in (("first", all_[:20]), ("last", all_[-20:]))}


def _timed(work: Callable[[], object]) -> float:
    """Seconds, with nothing kept of what was parsed before, as in a process of its own."""
    numbered_log._parse.cache_clear()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
