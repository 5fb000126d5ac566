"""Dimension rows are versions: one row per key and arrival."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.tables import Table


def unique(declared: Table, rows: pa.Table) -> tuple[pa.Table, int, int]:
    """(rows with one per key, identical duplicates dropped, conflicting ones dropped); rows are whole buckets.

    Of rows that tell different things of one key the first by content stays, whatever order they came in.
    """
    if not rows.num_rows:
        return rows, 0, 0
    plain = rows.append_column("_at", pa.array(np.arange(rows.num_rows)))
    for name in rows.column_names:
        if pa.types.is_list(rows.schema.field(name).type):
            joined = pc.binary_join(rows[name], "\x00")
            plain = plain.set_column(plain.schema.get_field_index(name), name, joined)
    names = [*declared.key, *(name for name in rows.column_names if name not in declared.key)]
    distinct = plain.group_by(names, use_threads=False).aggregate([("_at", "min")])
    ordered = distinct.sort_by([(name, "ascending") for name in names])
    first = np.ones(ordered.num_rows, bool)
    same = np.ones(max(ordered.num_rows - 1, 0), bool)
    for key in declared.key:
        values = ordered[key].to_numpy()
        same &= values[1:] == values[:-1]
    first[1:] = ~same
    kept = rows.take(ordered["_at_min"].filter(pa.array(first)))
    return kept, rows.num_rows - ordered.num_rows, int((~first).sum())
