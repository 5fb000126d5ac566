"""The point-in-time join beside Polars and DuckDB: the same work, the same cores, in turn, in one run.

    python -m benchmarks.point_in_time 20000000                    # about eighteen minutes on two quiet cores
    python -m benchmarks.point_in_time 20000000 --parts late,skew   # some of: peers, late, skew, growth
    python -m benchmarks.point_in_time 100000000 --parts ours       # only ours, for its time and memory

Seeded events over 60 days, EVENTS/50 users, EVENTS/200 videos with Zipf 1.2 popularity, every fifth event a label. Each
label gets, for its user and for its video, the last watch time and count and sum of watch times over 1, 7 and 30 days,
strictly before it. Ours is the public command, `jobs.join --layouts`, run twice: first it lands the events in buckets by key
and joins ("landing and join", one start of Spark), then it finds the layout and joins. The last line is one JSON object.
"""

import argparse
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measured import Measured, measured
from benchmarks.point_in_time_log import Log, write

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = (1, 7, 30)
ROUNDS = 3
DAY_US = 86_400_000_000
VIEWS = """
[{key}_latest]
mode = "version"
{rows}
columns = ["watch_ms"]

[by_{key}]
mode = "event"
{rows}
windows = ["1d", "7d", "30d"]
aggregates = ["count", "sum watch_ms"]
"""
ROWS = """table = "{table}"
key = "{key}_id"
event_time = "event_time"
arrived_at = "arrived_at"
tiebreak = "event_id"
"""


def run(name: str, command: list[str]) -> Measured:
    """Measure one engine and say so. What was written before it lies on the disk by then, so that nobody pays for that."""
    os.sync()
    found = measured([sys.executable, *command], {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"})
    print(f"  {name:44} {found.seconds:8.1f} s {found.peak_gb:7.2f} GB", flush=True)
    return found


def joined(folder: str, name: str, *options: str) -> Measured:
    """Join the labels of a log with views over its files; the rows are in `<folder>/joined`."""
    shutil.rmtree(f"{folder}/joined", ignore_errors=True)
    Path(f"{folder}/views.toml").write_text("".join(
        VIEWS.format(key=key, rows=ROWS.format(table=f"{folder}/events", key=key)) for key in ("user", "video")))
    return run(f"ours: jobs.join, {name}", [
        "-m", "jobs.join", "--spine", f"{folder}/labels.parquet", "--views", "user_latest,by_user,video_latest,by_video",
        "--view-file", f"{folder}/views.toml", "--out", f"{folder}/joined", *options])


def ours(folder: str, log: Log) -> tuple[Measured, Measured]:
    """Make a log and join it twice: with landing, and without."""
    shutil.rmtree(folder, ignore_errors=True)
    write(log, folder)
    return landed_and_joined(folder)


def landed_and_joined(folder: str) -> tuple[Measured, Measured]:
    """Join a log that is there twice: landing and join together, and the join alone."""
    shutil.rmtree(f"{folder}/laid", ignore_errors=True)
    keep = ["--layouts", f"{folder}/laid"]
    return joined(folder, "landing and join", *keep), joined(folder, "over the layout", *keep)


def columns(path: str, names: dict[str, str]) -> pa.Table:
    """A result by event id, under the peers' names."""
    rows = pq.read_table(path, columns=["event_id", *names.values()]).sort_by("event_id")
    return pa.table({ours: rows[theirs].cast(pa.int64()).combine_chunks()
                     for ours, theirs in {"event_id": "event_id", **names}.items()})


def names(mine: bool) -> dict[str, str]:
    """Feature → column, in our result or in the peers'."""
    found = {}
    for key in ("user", "video"):
        found[f"{key}_last"] = f"{key}_latest_watch_ms" if mine else f"{key}_last"
        for days in WINDOWS:
            found[f"{key}_count_{days}d"] = f"by_{key}_count_{days}d" if mine else f"{key}_count_{days}d"
            found[f"{key}_sum_{days}d"] = f"by_{key}_watch_ms_sum_{days}d" if mine else f"{key}_sum_{days}d"
    return found


def check_late(folder: str, sample: int = 10_000) -> bool:
    """Whether sampled labels equal a loop over their key's events that asks each for both its clocks."""
    found = columns(f"{folder}/joined", names(mine=True))
    labels = pq.read_table(f"{folder}/labels.parquet").sort_by("event_id")
    chosen = np.sort(np.random.default_rng(1).choice(labels.num_rows, min(sample, labels.num_rows), replace=False))
    for key in ("user", "video"):
        events = pq.read_table(f"{folder}/events", columns=[f"{key}_id", "event_time", "arrived_at", "watch_ms"])
        events = events.sort_by([(f"{key}_id", "ascending"), ("event_time", "ascending")])
        keys, happened, arrived, watched = (events[name].cast(pa.int64()).to_numpy() for name in events.column_names)
        owners, moments = (labels[name].cast(pa.int64()).to_numpy() for name in (f"{key}_id", "event_time"))
        for row in chosen.tolist():
            owner, t = owners[row], moments[row]
            first, end = np.searchsorted(keys, owner), np.searchsorted(keys, owner, side="right")
            end = first + np.searchsorted(happened[first:end], t)
            seen = arrived[first:end] < t
            told = {f"{key}_last": watched[first:end][seen][-1] if seen.any() else None}
            for days in WINDOWS:
                inside = seen & (happened[first:end] >= t - days * DAY_US)
                told |= {f"{key}_count_{days}d": inside.sum(), f"{key}_sum_{days}d": watched[first:end][inside].sum()}
            if any(found[name][row].as_py() != value for name, value in told.items()):
                print(f"  label {labels['event_id'][row]} differs from the oracle in {key}: {told}")
                return False
    return True


def physical(folder: str, out: str, inputs: list[str]) -> float:
    """Seconds to read the bytes of some inputs and write those of the result, one after the other and nothing else."""
    started, size = time.monotonic(), 0
    for path in (path for name in inputs for path in (Path(folder, name).rglob("*.parquet") if
                 Path(folder, name).is_dir() else [Path(folder, name)])):
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(1 << 22):
                size += len(chunk)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for path in Path(folder, out).rglob("*.parquet"):
            file.write(bytes(path.stat().st_size))
    return time.monotonic() - started


def peers(events: int, folder: str) -> dict:
    """Ours and Polars on one log, ROUNDS times in turn, of which the middle ones count; the rest once."""
    write(Log(events), folder)
    rounds = [(*landed_and_joined(folder), run("Polars join_asof", [
        str(ROOT / "benchmarks/point_in_time_polars.py"), folder, f"{folder}/polars.parquet"])) for _ in range(ROUNDS)]
    both, join, polars = (sorted(one, key=lambda found: found.seconds)[ROUNDS // 2] for one in zip(*rounds, strict=True))
    expected = columns(f"{folder}/polars.parquet", names(mine=False))
    equal = columns(f"{folder}/joined", names(mine=True)).equals(expected)
    raw = joined(folder, "over the files as they came")
    start = run("of that, starting Python, Java and Spark", ["-c", (
        "from features.frames import balanced; from jobs.spark_context import spark_context;"
        "balanced(spark_context('nightreel'), lambda n: {}, [1, 1])")])
    duckdb = run("DuckDB ASOF JOIN", [str(ROOT / "benchmarks/point_in_time_duckdb.py"), folder, f"{folder}/duckdb.parquet"])
    equal &= all(columns(f"{folder}/{path}", names(mine)).equals(expected) for path, mine in (
        ("joined", True), ("duckdb.parquet", False)))
    limit, limit_landing = physical(folder, "joined", ["laid", "labels.parquet"]), physical(folder, "laid", ["events"])
    print(f"  reading and writing the bytes: join {limit:.2f} s, landing {limit_landing:.2f} s; equal output: {equal}")
    return {
        "ratio_polars": join.seconds / polars.seconds,
        "ratio_polars_with_landing": both.seconds / polars.seconds,
        "ratio_polars_from_files": raw.seconds / polars.seconds, "ratio_duckdb": join.seconds / duckdb.seconds,
        "ratio_polars_without_start": (join.seconds - start.seconds) / polars.seconds,
        "peak_gb": max(raw.peak_gb, *(found.peak_gb for both, join, _ in rounds for found in (both, join))),
        "equal": equal, "ratio_limit": join.seconds / limit,
        "polars_s": polars.seconds, "polars_gb": polars.peak_gb, "duckdb_s": duckdb.seconds, "duckdb_gb": duckdb.peak_gb,
        "join_s": join.seconds, "with_landing_s": both.seconds, "from_files_s": raw.seconds, "start_s": start.seconds,
        "limit_s": limit, "limit_landing_s": limit_landing}


def _beside(folder: str, log: Log, events: int) -> tuple[Measured, Measured, Measured, Measured]:
    """Ours on a log and on the plain one of so many events, in turn: with landing, without; with, without."""
    plain = ours(f"{folder}/plain", Log(events))
    shutil.rmtree(f"{folder}/plain")
    return (*ours(f"{folder}/other", log), *plain)


def late(events: int, folder: str) -> dict:
    """2 % of the events up to 3 days late, equal to the oracle."""
    both, join, _, plain = _beside(folder, Log(events, late=0.02), events)
    return {"ratio_late": join.seconds / plain.seconds, "late_equal": check_late(f"{folder}/other"),
            "late_gb": max(both.peak_gb, join.peak_gb)}


def skew(events: int, folder: str) -> dict:
    """One video with 30 % of all events."""
    both, join, plain_both, plain = _beside(folder, Log(events, hot=0.3), events)
    return {"ratio_skew": join.seconds / plain.seconds, "ratio_skew_with_landing": both.seconds / plain_both.seconds,
            "skew_gb": max(both.peak_gb, join.peak_gb)}


def growth(events: int, folder: str) -> dict:
    """Ten times the rows of a tenth."""
    both, join, small_both, small = _beside(folder, Log(events), events // 10)
    return {"ratio_growth": join.seconds / small.seconds,
            "ratio_growth_with_landing": both.seconds / small_both.seconds}


def alone(events: int, folder: str) -> dict:
    """Only ours."""
    both, join = ours(folder, Log(events))
    return {"with_landing_s": both.seconds, "join_s": join.seconds, "peak_gb": max(both.peak_gb, join.peak_gb)}


PARTS = {"peers": peers, "late": late, "skew": skew, "growth": growth, "ours": alone}


def main(arguments: list[str]) -> None:
    """Parse, run, print; exit 1 when outputs differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.point_in_time", description=__doc__.splitlines()[0])
    parser.add_argument("events", type=int)
    parser.add_argument("--parts", default="peers,late,skew,growth", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--folder", help="where to work (a temporary folder)")
    options = parser.parse_args(arguments)
    parts = options.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}")
    missing = [name for name in ("polars", "duckdb") if "peers" in parts and not importlib.util.find_spec(name)]
    if missing:
        sys.exit(f"{' and '.join(missing)} not installed; run: "
                 f"{sys.executable} -m pip install -r benchmarks/point_in_time_requirements.txt")
    print(f"{options.events:,} events, {-(-options.events // 5):,} labels, {os.cpu_count()} cores", flush=True)
    found: dict = {"events": options.events}
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="point-in-time-", dir=options.folder) as folder:
            found |= PARTS[part](options.events, folder)
    print(json.dumps({name: value if isinstance(value, bool) else round(value, 3) for name, value in found.items()}))
    if not (found.get("equal", True) and found.get("late_equal", True)):
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
