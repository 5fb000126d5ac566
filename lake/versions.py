"""Dimension rows are versions: one row per key and arrival."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.tables import Table


def unique(declared: Table, rows: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """One row per key, and how many rows were dropped: `identical` to the one that stays, or `conflicting` with it.

    rows: whole buckets. Of rows that tell different things of one key the first by content stays, in whatever order
    they came.
    """
    if not rows.num_rows:
        return rows, {"identical": 0, "conflicting": 0}
    names = [*declared.key, *(name for name in rows.column_names if name not in declared.key)]
    plain = rows.append_column("_row", pa.array(np.arange(rows.num_rows)))
    for name in names:
        if pa.types.is_list(rows.schema.field(name).type):
            at = plain.schema.get_field_index(name)
            plain = plain.set_column(at, name, pc.binary_join(rows[name], "\x00"))
    distinct = plain.group_by(names, use_threads=False).aggregate([("_row", "min")])
    ordered = distinct.sort_by([(name, "ascending") for name in names])
    first = np.ones(ordered.num_rows, bool)
    for n, key in enumerate(declared.key):
        values = ordered[key].cast(pa.int64()).to_numpy()
        first[1:] = (first[1:] if n else False) | (values[1:] != values[:-1])
    kept = rows.take(ordered["_row_min"].filter(pa.array(first)))
    return kept, {"identical": rows.num_rows - ordered.num_rows, "conflicting": int((~first).sum())}
