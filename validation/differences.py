"""Where two tables that should be equal are not, in words that name the view and the column and no person."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from lake.tables import table

SHOWN = 8


@dataclass(frozen=True)
class Difference:
    """`what`: table, with the view where it has views. column: "" where rows are missing or too many."""

    what: str
    column: str
    rows: int

    def __str__(self) -> str:
        return f"{self.what}{'.' + self.column if self.column else ''} ({self.rows:,} rows)"


def of_tables(name: str, one: pa.Table, other: pa.Table) -> list[Difference]:
    """Differences of two sets of rows of one table, by its key."""
    key, columns = table(name).key, [column for column in one.column_names if column not in table(name).key]
    return of_rows(name, _keyed(one, key), _keyed(other, key), columns)


def _keyed(rows: pa.Table, key: tuple[str, ...]) -> dict[tuple, dict]:
    return {tuple(row[name] for name in key): row for row in rows.to_pylist()}


def of_rows(name: str, one: dict[tuple, dict], other: dict[tuple, dict], columns: Iterable[str]) -> list[Difference]:
    """Differences of two dictionaries of rows. Keys that begin with a view's name are told by view; floats that differ
    by rounding alone are equal."""
    found: Counter[tuple[str, str]] = Counter()
    for key in one.keys() | other.keys():
        what = f"{name}[{key[0]}]" if key and isinstance(key[0], str) and key[0] else name
        if key not in one or key not in other:
            found[what, ""] += 1
            continue
        for column in columns:
            if not _equal(one[key][column], other[key][column]):
                found[what, column] += 1
    return [Difference(what, column, rows) for (what, column), rows in sorted(found.items())]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-9 * max(1.0, abs(one))
    return one == other


def told(differences: list[Difference]) -> str:
    """The first few, as one line."""
    more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
    return ", ".join(str(one) for one in differences[:SHOWN]) + more
