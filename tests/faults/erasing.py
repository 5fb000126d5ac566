"""A user erased from a service as it is after some days: a promoted model, MLflow, Airflow's database and logs,
reports, lists, string ids. The scan here knows nothing of the one in jobs/erase_files.py."""

import os
import re
import struct
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake import numbered_log
from lake.hashing import id_of_string
from publishing.live import load_release
from tests.faults import orchestration
from tests.faults.orchestration import NIGHT, command, ended

DAY = timedelta(days=1)
TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")


def erased(folder: Path) -> int:
    """One training and two nights in the real Airflow, then a viewer whom the report shows is erased; nothing of that
    person is left in any byte, both nights replay, a model is trained without the person and the nights go on."""
    with orchestration.service(folder, named) as airflow:
        for dag, day in (("training", NIGHT - DAY), ("nightly", NIGHT - DAY), ("nightly", NIGHT)):
            assert ended(airflow, airflow.start_run(dag, day), dag) == "success", f"{dag} of {day}"
    before = dict(os.environ)
    os.environ["NIGHTREEL_HOME"] = str(folder / "home")
    try:
        return _erased(folder / "home", shown(folder / "home"))
    finally:
        os.environ.clear()
        os.environ.update(before)


def _erased(home: Path, who: str) -> int:
    assert load_release().release.snapshots["model"], "no model passed the gate"
    held = told(home, who)
    assert {"lake", "reports"} <= {Path(path).parts[0] for path in held}, held
    others = [path for path in held if not path.startswith("lake/") and not path.endswith(".html")]
    assert not others, f"a log, a database or Data Docs tell of a viewer, not only tables and reports: {others}"
    assert "undecided" in command("jobs.erase", "--user", who, code=3) and told(home, who) == held
    said = command("jobs.erase", "--user", who, "--retrain")
    assert f"make train AS_OF={NIGHT - DAY}" in said and "nothing of the user is left" in said
    assert not told(home, who), told(home, who)
    assert any("changes" in entry for entry in numbered_log.entries("erasures"))
    for number in numbered_log.numbers("releases"):
        load_release(number)
    for day in (NIGHT - DAY, NIGHT):
        said = command("jobs.replay", "--as-of", str(day))
        assert "equal    histories" in said and "were read from it" in said, said
    for argv in (["training_tables"], ["audit", "--training"], ["train"]):
        command(f"jobs.{argv[0]}", "--as-of", str(NIGHT), *argv[1:])
    night(NIGHT + DAY)
    assert load_release().release.date == NIGHT + DAY and not told(home, who)
    return len(held)


def night(as_of: date) -> None:
    """The commands of `make night`."""
    for argv in (["build", *TABLES], ["ann_index"], ["recommendations"], ["audit"], ["release"], ["report"]):
        command(f"jobs.{argv[0]}", *argv[1:], "--as-of", str(as_of))


def named(raw: Path) -> None:
    """Give the viewers of a raw log string ids."""
    for path in [*raw.glob("events/*.parquet"), *raw.glob("users/*.parquet")]:
        rows = pq.read_table(path)
        names = pc.binary_join_element_wise("viewer", pc.utf8_lpad(pc.cast(rows["user_id"], pa.string()), 9, "0"), "-")
        pq.write_table(rows.set_column(rows.column_names.index("user_id"), "user_id", names), path)


def shown(home: Path) -> str:
    """A viewer whom a nightly report shows by name."""
    pages = [path.read_text() for path in home.glob("reports/*.html")]
    counts = Counter(name for page in pages for name in re.findall(r"viewer-\d{9}", page))
    return counts.most_common(1)[0][0]


def told(home: Path, who: str) -> dict[str, str]:
    """Files below a home that hold a string id or the number it became, as text or as eight bytes, raw or decoded."""
    number = id_of_string(who)
    written = {"its id": who.encode(), "its number": str(number).encode(), "its bytes": struct.pack("<q", number)}
    found = {}
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            hits = [what for what, pattern in written.items() if pattern in content]
            hits += _cells(path, who, number) if content[:4] == b"PAR1" else []
            found |= {str(path.relative_to(home)): ", ".join(hits)} if hits else {}
    return found


def _cells(path: Path, who: str, number: int) -> list[str]:
    rows = pq.read_table(path).combine_chunks()
    return [name for name in rows.column_names if _holds(rows[name], {who, str(number)})]


def _holds(column: pa.ChunkedArray, wanted: set[str]) -> bool:
    kind = column.type
    if pa.types.is_list(kind):
        return _holds(pc.list_flatten(column), wanted)
    if pa.types.is_integer(kind) or pa.types.is_string(kind):
        return pc.any(pc.is_in(column.cast(pa.string()), pa.array(sorted(wanted)))).as_py() or False
    return False
