"""Poison the future: what was known at a cut is the same whatever arrives after it."""

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs import ann_index, audit_served, audit_slice, build, recommendations
from jobs.audit_worlds import Cut, Decisions, Records, cuts, decisions, land
from jobs.small_lake import inside, small_lake
from lake import lineage, snapshot
from lake.snapshot import Manifest
from validation.differences import Difference, of_tables
from validation.poison import microseconds, poisoned

BUILT = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity", "labels")
COMPARED = BUILT[2:]
LISTS = ("recommendations", "fallback")
# What followed a label is its answer, not what was known at it.
_ANSWERS = ("shown", "played", "liked", "shared", "not_interested", "watch_ms")


@dataclass(frozen=True)
class Finding:
    """One check of an audit: what was compared, and where it differs."""

    check: str
    compared: str
    differences: list[Difference] = field(default_factory=list)


def findings(records: Records, as_of: date, training: bool) -> list[Finding]:
    """Every cut of a night or training, and the small world itself against the reference."""
    made = cuts(records, as_of)
    decided = decisions([as_of, *(cut.night for cut in made)])
    with small_lake("audit") as home:
        land(records, as_of, as_of)
        _compute(sorted({cut.night for cut in made}), as_of, decided, training)
        found = [_whole(records, as_of)]
        for cut in made:
            found.append(_cut(records, as_of, cut, decided, training, home))
    return found


def _compute(nights: list[date], as_of: date, decided: Decisions, training: bool) -> None:
    """The tables of some nights, with lists where a night is audited, and the examples of the day itself."""
    decided.write()
    for night in nights:
        build.main([*BUILT, "--as-of", str(night)])
        if not training:
            ann_index.main(["--as-of", str(night)])
            recommendations.main(["--as-of", str(night)])
    build.main(["labels", "training_examples", "--as-of", str(as_of)])


def _whole(records: Records, as_of: date) -> Finding:
    events = pa.concat_tables([snapshot.read(chunk) for chunk in lineage.chunks("events", as_of)])
    asked = audit_slice.whole(events, records.videos, records.users)
    found, compared = audit_served.differences(as_of, asked)
    more, values = audit_served.label_differences(as_of, asked)
    return Finding("reference", f"{compared + values:,} values of {len(asked.user_ids):,} users", found + more)


def _cut(records: Records, as_of: date, cut: Cut, decided: Decisions, training: bool, clean: str) -> Finding:
    """One cut: a second lake with another future, and what differs from the first."""
    other = poisoned(records, cut.at_us, cut.spared)
    names = COMPARED if training else (*COMPARED, *LISTS)
    with small_lake("poisoned") as home:
        land(other, as_of, as_of)
        _compute([cut.night], as_of, decided, training)
        found, rows = [], 0
        for name in names:
            with inside(clean):
                expected = lineage.resolve(name, cut.night)
            rows += expected.rows
            found += _between(expected, clean, lineage.resolve(name, cut.night), home)
        found += (examples := _examples(records, as_of, cut, clean, home))[0]
    return Finding(f"cut {cut}", f"{rows:,} rows of the night of {cut.night}, {examples[1]:,} labels before the cut",
                   found)


def _between(expected: Manifest, clean: str, made: Manifest, home: str) -> list[Difference]:
    if expected.content_hash == made.content_hash:
        return []
    rows = []
    for manifest, lake in ((expected, clean), (made, home)):
        with inside(lake):
            rows.append(snapshot.read(manifest))
    return of_tables(expected.table, *rows) or [Difference(expected.table, "order of rows", made.rows)]


def _examples(records: Records, as_of: date, cut: Cut, clean: str, home: str) -> tuple[list[Difference], int]:
    """Examples of labels not after the cut, where the label itself had arrived before it: all but the answers."""
    known = microseconds(records.events, "arrived_at") < cut.at_us
    ids = records.events["event_id"].to_numpy()
    ids = np.append(ids[known], np.array([] if cut.spared is None else [cut.spared], np.int64))
    tables = []
    for lake in (clean, home):
        with inside(lake):
            rows = snapshot.read(lineage.resolve("training_examples", as_of))
        kept = (microseconds(rows, "event_time") <= cut.at_us) & np.isin(rows["event_id"].to_numpy(), ids)
        tables.append(rows.filter(pa.array(kept)).sort_by("event_id"))
    both = np.intersect1d(*(rows["event_id"].to_numpy() for rows in tables))
    one, other = (rows.filter(pc.is_in(rows["event_id"], pa.array(both))).combine_chunks() for rows in tables)
    differing = [name for name in one.column_names if name not in _ANSWERS and not one[name].equals(other[name])]
    return [Difference("training_examples", name, _unequal(one[name], other[name])) for name in differing], len(both)


def _unequal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    return sum(a != b for a, b in zip(one.to_pylist(), other.to_pylist(), strict=True))
