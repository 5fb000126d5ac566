"""Batches of a log in declared types, each row judged; what becomes of the bad ones and what the good ones tell."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake import cells, contract, sources
from lake.columns import TIMESTAMP, Column, optional
from lake.identities import Identities
from lake.layout import ID_KINDS, Also, Layout
from lake.sources import File, Refused
from lake.tables import table

CONTENT_CHARACTERS = 2_000
_FLAG = optional("flag", pa.float64(), "a column that an `also` rule looks at")
_Bad = dict[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Batch:
    """Rows of one file from number `first` on: the cells as they were, the columns in their declared types, and per row
    the index of its reason in contract.REASONS (-1: good)."""

    file: File
    first: int
    source: pa.Table
    rows: pa.Table
    verdict: np.ndarray


def batches(layout: Layout, ids: Identities) -> Iterator[Batch]:
    """Every row of a layout's files. Refused when a file is not whole, or a column can't be read at all."""
    for file in layout.files:
        first = 0
        for found in sources.batches(file, layout.wanted, layout.fields):
            source = pa.table({name: _plain(file, name, found[name]) for name in layout.wanted})
            rows, bad = _typed(layout, file, source, ids)
            if not first:
                _require_readable(layout, file, source, bad)
            yield Batch(file, first, source, rows, contract.judge(layout.declared, rows, _by_reason(bad)))
            first += found.num_rows
        sources.require_unchanged(file)


def _plain(file: File, name: str, array: pa.Array) -> pa.Array:
    """Dictionaries decoded and every kind of text as strings, which are then known to be UTF-8."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        array = array.cast(pa.string())
    if file.format == "parquet" and (pa.types.is_string(array.type) or pa.types.is_nested(array.type)):
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise Refused(f"{file.name}: column {name!r} holds text that is not UTF-8 ({error}); export it again") \
                from error
    return array


def _typed(layout: Layout, file: File, source: pa.Table, ids: Identities) -> tuple[pa.Table, _Bad]:
    """The columns that the log has or the layout gives, and masks of bad rows per (column, reason)."""
    columns: dict[str, pa.Array] = {}
    bad: _Bad = {}
    for declared in layout.declared.columns:
        if declared.name in layout.constants:
            columns[declared.name] = pa.array([layout.constants[declared.name]] * source.num_rows, pa.string())
        elif declared.name in layout.columns:
            found = _column(layout, file, declared, source, ids)
            columns[declared.name] = found.values
            bad |= {(declared.name, reason): mask for reason, mask in found.bad.items()}
    if layout.arrival == "assumed":
        columns["arrived_at"] = columns["event_time"]
    for rule in layout.also:
        flag = cells.read(_FLAG, source[rule.column].chunk(0), layout.how)
        columns[_also(rule)] = pc.fill_null(pc.greater_equal(flag.values, rule.at_least), False)
        bad |= {(rule.column, reason): mask for reason, mask in flag.bad.items()}
    return pa.table(columns), bad


def _column(layout: Layout, file: File, declared: Column, source: pa.Table, ids: Identities) -> cells.Read:
    name = layout.columns[declared.name]
    array = source[name].chunk(0)
    if declared.name in ID_KINDS:
        found = cells.Read(ids.read(ID_KINDS[declared.name], array, f"{file.name}: column {name!r}",
                                    file.format == "parquet"))
    else:
        if layout.types and declared.name == "event_type":
            array = _renamed(array, layout.types)
        found = cells.read(declared, array, layout.how)
    long = contract.oversized(array)
    return found if long is None else cells.Read(found.values, {**found.bad, "oversized_string": long})


def _renamed(array: pa.Array, types: dict[str, str]) -> pa.Array:
    """Their names of event types as ours; others stay and will be unknown."""
    encoded = array.dictionary_encode()
    ours = pa.array([types.get(name, name) for name in encoded.dictionary.to_pylist()], pa.string())
    return ours.take(encoded.indices)


def _also(rule: Also) -> str:
    return f"also {rule.event_type}"


def _by_reason(bad: _Bad) -> dict[str, np.ndarray]:
    masks: dict[str, np.ndarray] = {}
    for (_, reason), mask in bad.items():
        masks[reason] = masks[reason] | mask if reason in masks else mask
    return masks


def _require_readable(layout: Layout, file: File, source: pa.Table, bad: _Bad) -> None:
    """A column of which most cells can't be read is not that column."""
    for (name, reason), mask in bad.items():
        if reason == "unreadable" and mask.sum() * 2 > len(mask):
            theirs, row = layout.columns.get(name, name), int(np.flatnonzero(mask)[0])
            hint = ""
            if name in layout.declared.schema.names and layout.declared.schema.field(name).type == TIMESTAMP:
                hint = "; times need their zone (2026-01-31T12:00:00Z), integers need --time-unit s, ms or us"
            raise Refused(f"{file.name}: column {theirs!r} can't be read as {name}: "
                          f"{repr(source[theirs][row].as_py())[:60]} in row {row}{hint}")


def quarantined(batch: Batch) -> pa.Table:
    """The bad rows of a batch as rows of the quarantine table."""
    bad = np.flatnonzero(batch.verdict >= 0)
    rows = batch.source.take(pa.array(bad))
    cut = {name: pc.utf8_slice_codeunits(column, 0, CONTENT_CHARACTERS) if pa.types.is_string(column.type) else column
           for name, column in zip(rows.column_names, rows.columns, strict=True)}
    content = [json.dumps(row, default=str, ensure_ascii=False)[:CONTENT_CHARACTERS]
               for row in pa.table(cut).to_pylist()]
    return pa.table([[batch.file.name] * len(bad), bad + batch.first,
                     [contract.REASONS[code] for code in batch.verdict[bad]], content],
                    schema=table("quarantine").schema)


def told(layout: Layout, batch: Batch) -> pa.Table:
    """Every event or version that the good rows tell: each row itself, and one more per `also` rule that it meets.
    Watch time stays with plays."""
    rows = batch.rows.filter(pa.array(batch.verdict < 0)) if (batch.verdict >= 0).any() else batch.rows
    if not layout.also:
        return rows
    plain = rows.drop_columns([_also(rule) for rule in layout.also])
    events = [plain]
    for rule in layout.also:
        more = plain.filter(rows[_also(rule)])
        at = more.schema.get_field_index("event_type")
        events.append(more.set_column(at, "event_type", pa.array([rule.event_type] * more.num_rows, pa.string())))
    together = pa.concat_tables(events)
    if "watch_ms" in together.column_names:
        watched = pc.if_else(pc.equal(together["event_type"], "play"), together["watch_ms"], None)
        together = together.set_column(together.schema.get_field_index("watch_ms"), "watch_ms", watched)
    return together
