"""What a night's tables cost as the lake grows old: a small log landed day by day, nights timed at two ages.

    python -m benchmarks.lake_age            # 30 and 300 days, about ten minutes
    python -m benchmarks.lake_age 10 40

Every day is landed by itself, so an old lake has as many landings as days. At each age the night before is built first,
as it is in a service that runs every night; then each table of the night is built and timed, in this process and without
Spark's start. `anew` is the same table without a night before it. The last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from contextlib import redirect_stdout
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

FIRST = date(2026, 1, 1)
TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")
GOING_ON = ("catalogue", "histories", "popularity")


def land_day(raw: Path, home: Path, day: date) -> None:
    """Land what a day brought."""
    from jobs import land

    part = home / "days" / day.isoformat()
    for kind in ("events", "videos", "users"):
        file = raw / kind / f"{day}.parquet"
        if file.exists():
            (part / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, part / kind)
    land.main([str(part), "--preset", "nightreel"])


def build(name: str, as_of: date) -> float:
    """Seconds to build a table of a night."""
    from jobs import build as command

    started = time.perf_counter()
    command.main([name, "--as-of", as_of.isoformat()])
    return time.perf_counter() - started


def timed_night(as_of: date) -> dict[str, float]:
    """Seconds of each table of a night whose night before is there, and of those that go on from it, begun anew."""
    from lake import lineage, storage

    seconds = {name: build(name, as_of) for name in TABLES}
    for name in GOING_ON:
        for day in (as_of, as_of - timedelta(days=1)):
            storage.delete_folder(lineage.resolve(name, day).folder)
        seconds[f"{name} anew"] = build(name, as_of)
    return seconds


def measure(ages: list[int], users: int, folder: Path) -> dict[int, dict[str, float]]:
    """Land days up to the last age; seconds by age and table."""
    from jobs import simulate

    with redirect_stdout(StringIO()):
        simulate.main([str(folder / "raw"), "--users", str(users), "--videos", "300", "--days", str(max(ages) + 1),
                       "--start", FIRST.isoformat(), "--seed", "5"])
    found = {}
    for age in range(1, max(ages) + 1):
        with redirect_stdout(StringIO()):
            land_day(folder / "raw", folder, FIRST + timedelta(days=age - 1))
            as_of = FIRST + timedelta(days=age)
            if age + 1 in ages:
                for name in TABLES:
                    build(name, as_of)
            elif age in ages:
                found[age] = timed_night(as_of)
            else:
                for name in ("events", "tiles"):
                    build(name, as_of)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lake_age", description=__doc__.splitlines()[0])
    parser.add_argument("ages", type=int, nargs="*", default=[30, 300], help="in days")
    parser.add_argument("--users", type=int, default=300)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lake-age-") as folder:
        os.environ |= {"NIGHTREEL_HOME": folder, "SPARK_MASTER": "in-process"}
        found = measure(options.ages, options.users, Path(folder))
    young, old = found[min(options.ages)], found[max(options.ages)]
    print(f"{'seconds of a night at':24}" + "".join(f"{age:8} d" for age in sorted(found)) + "    ratio")
    for name in young:
        print(f"  {name:22}" + "".join(f"{found[age][name]:10.2f}" for age in sorted(found))
              + f"{old[name] / young[name]:9.2f}")
    total = {age: sum(seconds[name] for name in TABLES) for age, seconds in found.items()}
    print(f"  {'all of a night':22}" + "".join(f"{total[age]:10.2f}" for age in sorted(total))
          + f"{total[max(total)] / total[min(total)]:9.2f}")
    print(json.dumps({"ages": sorted(found), "ratio": round(total[max(total)] / total[min(total)], 3),
                      "seconds": {str(age): {name: round(value, 3) for name, value in seconds.items()}
                                  for age, seconds in sorted(found.items())}}))


if __name__ == "__main__":
    main()
