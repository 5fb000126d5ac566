"""Writes the raw log of a simulated short-video service whose users, tastes and rules are known.

    python -m jobs.simulate OUT --users 2000 --videos 3000 --days 35 --start 2026-01-01 --seed 7

OUT gets events/, videos/ and users/, each with one Parquet file per arrival day (none for a day without rows), and
world.json, written last. The truth goes to NIGHTREEL_HOME/truth/ (simulation/truth.py). The rules of the world are in
simulation/world.py. The same arguments give the same rows; a folder that holds another world is refused.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.command import run, say
from lake import storage
from lake.dates import DAY_US, day_of_us, parse_date
from lake.refusal import Refusal
from simulation.days import Columns, live
from simulation.log import Log, event_table, make_log, user_table, video_table
from simulation.truth import write_truth
from simulation.world import WORLD_VERSION, Size, World, make_world

TABLES = ("events", "videos", "users")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.simulate", description=__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT", help="local folder for the raw log; new, empty, or with this same world")
    for name in ("users", "videos", "days", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Size, name), help="default %(default)s")
    parser.add_argument("--start", default=str(Size.start), help="first UTC day, default %(default)s")
    given = parser.parse_args(arguments)
    try:
        size = Size(given.users, given.videos, given.days, parse_date(given.start), given.seed)
    except ValueError as problem:
        parser.error(str(problem))
    simulate(given.out, size)


def simulate(out: str, size: Size) -> None:
    """Makes the world and writes what is missing of log and truth. Raises Refusal where another world is in the way."""
    folder = local_folder(out)
    parameters = {"version": WORLD_VERSION} | dataclasses.asdict(size) | {"start": str(size.start)}
    has_log, has_truth = log_stands(folder, parameters), truth_stands(parameters)
    if has_log and has_truth:
        say(f"simulate: {folder} already holds this world, nothing to do")
        return
    began = time.monotonic()
    world = make_world(size)
    say_rows("world", size.users + size.videos, began)
    log = make_log(world, gather(world))
    if not has_truth:
        began = time.monotonic()
        say_rows("truth", write_truth(world, log, parameters), began)
    if not has_log:
        write_log(folder, world, log, parameters)


def gather(world: World) -> Columns:
    """All events of all days, with a line of progress a week. Raises Refusal where nobody ever came."""
    lived, began, rows = [], time.monotonic(), 0
    for number, events in enumerate(live(world), start=1):
        if events:
            lived.append(events)
            rows += len(events["user"])
        if number % 7 == 0 or number == world.size.days:
            say_rows(f"happened until {day_of_us(world.size.start_us + (number - 1) * DAY_US)}", rows, began)
            began, rows = time.monotonic(), 0
    if not lived:
        raise Refusal("nothing happened in a world this small; ask for more --users or --days")
    return {name: np.concatenate([events[name] for events in lived]) for name in lived[0]}


def say_rows(what: str, rows: int, began: float) -> None:
    say(f"{what}: {rows:,} rows, {time.monotonic() - began:.1f} s")


def local_folder(out: str) -> Path:
    if not out or "://" in out or "\0" in out:
        raise Refusal(f"OUT must be a local folder, not {out[:200]!r}; copy it to an object store afterwards")
    return Path(out).absolute()


def log_stands(folder: Path, parameters: dict) -> bool:
    """Whether this very world is there, whole; our own unfinished attempt is not. Raises Refusal for anything else."""
    if (folder / "world.json").exists():
        found = read_json((folder / "world.json").read_bytes())
        if found.get("parameters") != parameters:
            raise Refusal(f"{folder} holds another world ({found.get('parameters')}), not {parameters};"
                          " choose another OUT, or delete that folder first")
        for name, size in found.get("files", {}).items():
            if storage.size(str(folder / name)) != size:
                raise Refusal(f"{folder / name} is missing or was changed since it was simulated;"
                              f" delete {folder} and run this again")
        return True
    ours = not folder.exists() or (folder / "unfinished.json").exists()
    if not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise Refusal(f"{folder} is not an empty folder and holds no simulated world; choose another OUT")
    return False


def truth_stands(parameters: dict) -> bool:
    """Whether this world's truth is under NIGHTREEL_HOME. Raises Refusal where another world's is."""
    path = storage.join("truth", "world.json")
    if not storage.exists(path):
        return False
    found = read_json(storage.read_bytes(path)).get("parameters")
    if found != parameters:
        raise Refusal(f"{path} tells of another world ({found}), not {parameters};"
                      " set NIGHTREEL_HOME to another folder, or delete its truth folder first")
    return True


def read_json(content: bytes) -> dict:
    """A JSON object, or an empty one where the file holds something else."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def write_log(folder: Path, world: World, log: Log, parameters: dict) -> None:
    """All files, then unfinished.json becomes world.json: until then a rerun starts over, after that it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished, sizes = folder / "unfinished.json", {}
    unfinished.write_text("{}")
    tables = {"events": event_days(world, log), "videos": arrival_days(video_table(world)),
              "users": arrival_days(user_table(world))}
    for name in TABLES:
        began, rows = time.monotonic(), 0
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
        for day, table in tables[name]:
            path = folder / name / f"{day}.parquet"
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)
            sizes[f"{name}/{path.name}"] = path.stat().st_size
            rows += table.num_rows
        say_rows(f"{name} until {day_of_us(world.size.end_us - 1)}", rows, began)
    unfinished.write_text(json.dumps({"parameters": parameters, "files": sizes}, indent=1))
    unfinished.rename(folder / "world.json")


def event_days(world: World, log: Log) -> Iterator[tuple[date, pa.Table]]:
    """Each arrival day's events, without the days that have none."""
    for start in range(world.size.start_us, world.size.end_us, DAY_US):
        here = log.between(start, start + DAY_US)
        if here.stop > here.start:
            yield day_of_us(start), event_table({name: column[here] for name, column in log.rows.items()})


def arrival_days(table: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """Each arrival day's rows of a table in order of arrived_at."""
    day = table["arrived_at"].cast(pa.int64()).to_numpy() // DAY_US
    for one in np.unique(day).tolist():
        first, end = np.searchsorted(day, [one, one + 1])
        yield day_of_us(one * DAY_US), table.slice(first, end - first)


if __name__ == "__main__":
    sys.exit(run(main))
