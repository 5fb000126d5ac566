"""When to judge, and what is known then: cuts in time, and the log without everybody's last play."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import quality_log as logs
from benchmarks import quality_truth as truths
from benchmarks.quality_log import Plays, Split
from jobs.command import say
from lake import lineage, snapshot
from lake.dates import day_of_us, midnight_us

ROOT = Path(__file__).resolve().parent.parent
HORIZON_DAYS = 7
ENOUGH_USERS = 200
CUTS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, eq=False)
class Moment:
    """One cut, and the protocols that judge its lists, each until a day of its own. sample: places of users who were
    drawn without looking at what they did next, for what only a simulated world can tell. lesson: for leave-one-out, the
    home of the same log without one play more of each user, and the Parquet of those plays."""

    split: Split
    judged: dict[str, Split]
    tuning: Split
    sample: np.ndarray
    lesson: tuple[str, Path] | None = None


def job(home: str, module: str, *arguments: str) -> None:
    """Run one job on a home, its lines passed on; stop where it fails."""
    command([sys.executable, "-m", module, *arguments], home)


def command(argv: list[str], home: str) -> None:
    environment = {**os.environ, "NIGHTREEL_HOME": home, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        for line in done.stdout:
            say(f"  {line.rstrip()}")
        if done.wait():
            errors.seek(0)
            raise SystemExit(f"error: {' '.join(argv)} failed:\n{errors.read()[-2000:]}")


def last_cut(folder: str | None, preset: str, users: int, scratch: Path) -> tuple[str, date, date, Plays]:
    """A log (folder None: a simulated service of so many users) in a home of its own under scratch, one that is there
    being used again: the home, the last day that `time_split` cuts at, until when it judges, and every play."""
    home = str(scratch / "home")
    if not (scratch / "home").exists():
        if folder is None:
            folder, preset = str(scratch / "log"), "nightreel"
            job(home, "jobs.simulate", folder, "--users", str(users))
        job(home, "jobs.land", folder, "--preset", preset)
    os.environ["NIGHTREEL_HOME"] = home
    end = date.fromisoformat(lineage.landings("raw_events")[-1]["end"])
    job(home, "jobs.build", "events", "--as-of", str(end))
    plays = logs.plays_of(logs.events_of(home, end))
    as_of, until = cuts(end, plays, ["time_split"])[-1]
    return home, as_of, until or end, plays


def moments(scratch: Path, home: str, end: date, events: pa.Table, protocols: list[str], nights: int,
            simulated: bool) -> list[Moment]:
    """Every cut to judge at, each with lists of its own; nights: how many weeks `rolling` judges."""
    plays, found = logs.plays_of(events), []
    if set(protocols) & {"time_split", "rolling"}:
        for as_of, until in cuts(end, plays, protocols, nights):
            found.append(timed(home, as_of, until, end, plays, protocols, simulated))
    if "leave_one_out" in protocols:
        found.append(leave_one_out(scratch, home, events))
    return found


def cuts(end: date, plays: Plays, protocols: list[str], nights: int = 1) -> list[tuple[date, date | None]]:
    """(as_of, until): the last week, and weeks before it for `rolling`; where too few people come back in a week, days
    that part the plays at 50 … 90 %, each until the next. until None: only `rolling` judges there."""
    last = end - timedelta(days=HORIZON_DAYS)
    known = np.unique(plays.user_id[plays.time_us < midnight_us(last)])
    if len(np.intersect1d(known, plays.user_id[plays.time_us >= midnight_us(last)])) >= ENOUGH_USERS:
        weeks = range(nights if "rolling" in protocols else 1)
        found = [last - timedelta(days=HORIZON_DAYS * week) for week in reversed(weeks)]
        return [(night, end if night == last else None) for night in found]
    order = np.sort(plays.time_us)
    days = sorted({day_of_us(int(order[int(share * len(order))])) for share in CUTS})
    return list(zip(days, [*days[1:], end], strict=True))


def timed(home: str, as_of: date, until: date | None, end: date, plays: Plays, protocols: list[str],
          simulated: bool) -> Moment:
    job(home, "jobs.build", "catalogue", "--as-of", str(as_of))
    week = min(as_of + timedelta(days=HORIZON_DAYS), end)
    judged = {}
    if "time_split" in protocols and until:
        judged["time_split"] = logs.timed(f"time_split {as_of}", home, as_of, until, plays)
    if "rolling" in protocols:
        judged["rolling"] = logs.timed(f"rolling {as_of}", home, as_of, week, plays)
    widest = max(judged.values(), key=lambda split: len(split.judged))
    days = ((until or week) - as_of).days
    drawn = np.random.default_rng(0).permutation(len(widest.user_ids))[:truths.USERS * simulated]
    return Moment(widest, judged, logs.earlier(widest, days), np.sort(drawn))


def leave_one_out(scratch: Path, full: str, events: pa.Table) -> Moment:
    """A home of its own, landed without each user's last play, and another without the last two."""
    home, as_of, held_out = without_last(scratch, full, events, "without-last")
    known = logs.events_of(home, as_of)
    split = logs.last_of_each("leave_one_out", home, as_of, logs.plays_of(known), pq.read_table(held_out))
    before, _, taught = without_last(scratch, home, known, "without-last-two")
    return Moment(split, {"leave_one_out": split}, logs.one_earlier(split), np.zeros(0, np.int64), (before, taught))


def without_last(scratch: Path, full: str, events: pa.Table, name: str) -> tuple[str, date, Path]:
    """A home's events without each user's last play, landed in a new home: it, the end of its log, and what is held out."""
    os.environ["NIGHTREEL_HOME"] = full
    folder, home = scratch / f"log-{name}", str(scratch / f"home-{name}")
    videos = pa.concat_tables(snapshot.read(lineage.landed(entry)) for entry in lineage.landings("raw_videos"))
    logs.write_without_last(events, videos, folder)
    job(home, "jobs.land", str(folder), "--preset", "nightreel")
    os.environ["NIGHTREEL_HOME"] = home
    end = date.fromisoformat(lineage.landings("raw_events")[-1]["end"])
    job(home, "jobs.build", "events", "catalogue", "--as-of", str(end))
    return home, end, folder / "held_out.parquet"


def asked(moment: Moment) -> np.ndarray:
    """Places of the users that somebody needs lists of, ascending."""
    return np.unique(np.concatenate([moment.sample, *(each.judged for each in moment.judged.values())]))
