"""From batches of a log to the rows of a raw table: read, judged, expanded, counted. Memory stays flat."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import cells, contract, sources
from lake.columns import EVENT_TYPES, optional
from lake.dates import DAY_US
from lake.identities import Identities
from lake.layout import ID_KINDS, Also, Layout
from lake.scatter import Scatter
from lake.sources import File, Refused
from lake.tables import table

CONTENT_CHARACTERS = 2_000
_FLAG = optional("flag", pa.float64(), "a column that an `also` rule looks at")


@dataclass
class Converted:
    """What one layout became so far. `rows`: good rows on their way to buckets; `told`: rows that good source rows
    tell; `arrivals`: rows per arrival day (days since 1970); `has`: columns and event types with at least one value."""

    layout: Layout
    rows: Scatter
    read: int = 0
    good: int = 0
    told: int = 0
    reasons: Counter = field(default_factory=Counter)
    arrivals: Counter = field(default_factory=Counter)
    has: set[str] = field(default_factory=set)

    @property
    def bad(self) -> int:
        return sum(self.reasons.values())


def typed_batches(layout: Layout, ids: Identities) -> Iterator[tuple[File, int, pa.Table, pa.Table, np.ndarray]]:
    """Per batch: file, number of its first row, the cells as they were, the columns in their declared types, and per
    row the index of its reason in contract.REASONS (-1: good). Refused when a column can't be read at all."""
    for file in layout.files:
        first = 0
        for batch in sources.batches(file, layout.wanted, layout.fields):
            source = pa.Table.from_batches([batch])
            rows, bad = _typed(layout, file, source, ids)
            if not first:
                _require_readable(layout, file, source, bad)
            yield file, first, source, rows, contract.judge(layout.declared, rows, _together(bad))
            first += batch.num_rows


def _typed(layout: Layout, file: File, source: pa.Table, ids: Identities) -> tuple[pa.Table, dict]:
    """The columns that the log has or the layout gives, and masks per (column, reason)."""
    columns, bad = {}, {}
    for declared in layout.declared.columns:
        if declared.name in layout.constants:
            columns[declared.name] = pa.array([layout.constants[declared.name]] * source.num_rows, pa.string())
        if declared.name not in layout.columns:
            continue
        array = source[layout.columns[declared.name]].combine_chunks()
        array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
        long = contract.oversized(array)
        if long is not None:
            bad[declared.name, "oversized_string"] = long
        if declared.name in ID_KINDS:
            where = f"{file.name}: column {layout.columns[declared.name]!r}"
            columns[declared.name] = ids.read(ID_KINDS[declared.name], array, where, file.format == "parquet")
        else:
            found = cells.read(declared, array, layout.how)
            columns[declared.name] = found.values
            bad |= {(declared.name, reason): mask for reason, mask in found.bad.items()}
    if layout.arrival == "assumed":
        columns["arrived_at"] = columns["event_time"]
    for rule in layout.also:
        flag = cells.read(_FLAG, source[rule.column].combine_chunks(), layout.how)
        columns[_also(rule)] = pc.fill_null(pc.greater_equal(flag.values, rule.at_least), False)
        bad |= {(rule.column, reason): mask for reason, mask in flag.bad.items()}
    return pa.table(columns), bad


def _also(rule: Also) -> str:
    return f"also {rule.event_type}"


def _together(bad: dict[tuple[str, str], np.ndarray]) -> dict[str, np.ndarray]:
    masks: dict[str, np.ndarray] = {}
    for (_, reason), mask in bad.items():
        masks[reason] = masks[reason] | mask if reason in masks else mask
    return masks


def _require_readable(layout: Layout, file: File, source: pa.Table, bad: dict) -> None:
    """A column of which most cells can't be read is not that column."""
    for (name, reason), mask in bad.items():
        if reason == "unreadable" and mask.sum() * 2 > len(mask):
            row = int(np.flatnonzero(mask)[0])
            cell = repr(source[layout.columns.get(name, name)][row].as_py())[:60]
            hint = "; times need a zone (2026-01-31T12:00:00Z), or --time-unit s, ms or us for integers" \
                if name in ("event_time", "arrived_at", "published_at", "removed_at") else ""
            raise Refused(f"{file.name}: column {layout.columns.get(name, name)!r} can't be read as {name}: "
                          f"{cell} in row {row}{hint}")


def quarantined(file: File, first: int, source: pa.Table, verdict: np.ndarray) -> pa.Table:
    """The bad rows of a batch as rows of the quarantine table."""
    bad = np.flatnonzero(verdict >= 0)
    rows = source.take(pa.array(bad))
    cut = {name: pc.utf8_slice_codeunits(column, 0, CONTENT_CHARACTERS) if pa.types.is_string(column.type) else column
           for name, column in zip(rows.column_names, rows.columns, strict=True)}
    content = [json.dumps(row, default=str, ensure_ascii=False)[:CONTENT_CHARACTERS]
               for row in pa.table(cut).to_pylist()]
    return pa.table({
        "source": pa.array([file.name] * len(bad), pa.string()), "source_row": pa.array(bad + first, pa.int64()),
        "reason": pa.array([contract.REASONS[code] for code in verdict[bad]], pa.string()),
        "content": pa.array(content, pa.string())}).cast(table("quarantine").schema)


def expanded(layout: Layout, rows: pa.Table) -> pa.Table:
    """Every event that good rows tell: each row itself, and one more per `also` rule that it meets. Watch time stays
    with plays."""
    if not layout.also:
        return rows
    plain = rows.drop_columns([_also(rule) for rule in layout.also])
    told = [plain]
    for rule in layout.also:
        more = plain.filter(rows[_also(rule)])
        at = more.schema.get_field_index("event_type")
        told.append(more.set_column(at, "event_type", pa.array([rule.event_type] * more.num_rows, pa.string())))
    together = pa.concat_tables(told)
    if "watch_ms" in together.column_names:
        watched = pc.if_else(pc.equal(together["event_type"], "play"), together["watch_ms"], None)
        together = together.set_column(together.schema.get_field_index("watch_ms"), "watch_ms", watched)
    return together


def add(into: Converted, rows: pa.Table, effective_us: np.ndarray) -> None:
    """Good rows of one batch. `effective_us`: when each row will count as arrived."""
    declared = into.layout.declared
    if into.layout.table == "raw_events":
        if "event_id" not in rows.column_names:
            rows = rows.append_column("event_id", pa.array(contract.event_ids(rows)))
        counts = np.bincount(contract.type_codes(rows), minlength=len(EVENT_TYPES) + 1)[1:]
        into.has |= {name for name, count in zip(EVENT_TYPES, counts, strict=True) if count}
    into.has |= {name for name in rows.column_names if rows[name].null_count < rows.num_rows}
    into.arrivals.update(_per_day(effective_us))
    into.told += rows.num_rows
    whole = {name: rows[name] if name in rows.column_names else pa.nulls(rows.num_rows, declared.schema.field(name).type)
             for name in declared.schema.names}
    into.rows.add(pa.table(whole).cast(declared.schema))


def _per_day(arrived_us: np.ndarray) -> dict[int, int]:
    if not len(arrived_us):
        return {}
    days = arrived_us // DAY_US
    counts = np.bincount(days - days.min())
    return {int(days.min() + n): int(counts[n]) for n in np.flatnonzero(counts)}


@dataclass
class FirstArrivals:
    """The first arrival (microseconds) of an event per id, for dimension rows that do not say when they arrived."""

    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    arrived_us: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, ids: np.ndarray, arrived_us: np.ndarray) -> None:
        ids, arrived = np.concatenate([self.ids, ids]), np.concatenate([self.arrived_us, arrived_us])
        order = np.lexsort((arrived, ids))
        ids, arrived = ids[order], arrived[order]
        first = np.r_[True, ids[1:] != ids[:-1]] if len(ids) else np.zeros(0, bool)
        self.ids, self.arrived_us = ids[first], arrived[first]

    def of(self, ids: np.ndarray, otherwise_us: int) -> np.ndarray:
        if not len(self.ids):
            return np.full(len(ids), otherwise_us, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.arrived_us[at], otherwise_us)
