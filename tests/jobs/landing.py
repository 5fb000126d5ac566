"""Little logs for the landing tests, and a way to land them as a person would."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs import land
from jobs.command import run
from lake import lineage, snapshot
from lake.columns import EVENT, USER, VIDEO

MINUTE = timedelta(minutes=1)
TYPES = {column.name: column.type for column in (*EVENT, *VIDEO, *USER)}


def at(text: str) -> datetime:
    """`2026-01-02 03:04:05` as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def event(**cells: object) -> dict:
    """One good play, with cells replaced."""
    return {"user_id": 1, "video_id": 2, "event_type": "play", "event_time": at("2026-01-01 10:00:00"),
            "arrived_at": at("2026-01-01 10:00:01"), "watch_ms": 5_000, **cells}


def events(days: int = 3, per_day: int = 4) -> list[dict]:
    """Good plays on the first days of 2026, one a second, four users and videos."""
    begin = at("2026-01-01 10:00:00")
    times = [begin + timedelta(days=day, seconds=n) for day in range(days) for n in range(per_day)]
    return [event(user_id=n % per_day % 4, video_id=n % per_day % 3, event_time=time, arrived_at=time + MINUTE)
            for n, time in enumerate(times)]


def parquet(path: Path, rows: Sequence[dict], **types: pa.DataType) -> Path:
    """Rows as a Parquet file in the declared types, but for those given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: pa.array([row.get(name) for row in rows], types.get(name, TYPES.get(name))) for name in names}
    pq.write_table(pa.table(columns), path, write_page_checksum=True)
    return path


def landed(capsys, *argv: object) -> tuple[int, str]:
    """(exit code, everything it said) of one command."""
    before, sys.argv = sys.argv, ["land", *map(str, argv)]
    try:
        code = run(land.main)
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.argv = before
    said = capsys.readouterr()
    return code, said.out + said.err


def rows_of(name: str) -> list[dict]:
    """All landed rows of a raw table."""
    return [row for entry in lineage.landings(name) for row in snapshot.read(lineage.landed(entry)).to_pylist()]


def files_under(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes; empty where there is no folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
