"""How a log's files map to a table, and whether the files are what the mapping says, before any heavy work."""

from collections.abc import Set
from dataclasses import dataclass, field, replace

import pyarrow as pa

from lake import cells, lineage, sources
from lake.columns import Column
from lake.sources import File, Refused
from lake.tables import Table, table

ID_KINDS = {"user_id": "user", "video_id": "video", "creator_id": "creator", "event_id": "event"}
HASHED_WHERE_ABSENT = "event_id"


@dataclass(frozen=True)
class Also:
    """A row tells one more event of this type where a source column is at least a number."""

    event_type: str
    column: str
    at_least: float


@dataclass(frozen=True)
class Layout:
    """Files of one table. `columns`: declared name → name in the files; `constants`: declared name → one value for
    every row; `types`: their event type → ours; `fields`: the columns of files of lines.

    `arrival` is where arrived_at comes from: "log"; "assumed", the event time; "derived", the first event on that id;
    "either", the log where it has the column, else derived.
    """

    table: str
    files: tuple[File, ...]
    columns: dict[str, str]
    how: cells.How = cells.How()
    constants: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    also: tuple[Also, ...] = ()
    fields: tuple[str, ...] = ()
    arrival: str = "log"
    ignored: tuple[str, ...] = ()

    @property
    def declared(self) -> Table:
        return table(self.table)

    @property
    def wanted(self) -> list[str]:
        """The source columns to read."""
        return sorted({*self.columns.values(), *(rule.column for rule in self.also)})


def checked(layout: Layout, asked: Set[str]) -> Layout:
    """The layout with the columns that its files have. Refused when a file lacks a column that is required or `asked`
    for by name, has one in a type that can't be meant, or differs from the first file."""
    if not layout.files:
        return layout
    schemas = [sources.schema(file, layout.fields) for file in layout.files]
    first_file, first = layout.files[0], schemas[0]
    for file, found in zip(layout.files[1:], schemas[1:], strict=True):
        _require_same(first_file, first, file, found)
    if layout.arrival == "either":
        arrival = "log" if layout.columns["arrived_at"] in first.names else "derived"
        layout = replace(layout, arrival=arrival)
    for rule in layout.also:
        if rule.column not in first.names:
            raise Refused(_lacking(layout, first_file, first, rule.event_type, rule.column))
    for column in layout.declared.columns:
        _require_column(layout, first_file, first, column, asked)
    present = {name: theirs for name, theirs in layout.columns.items() if theirs in first.names}
    layout = replace(layout, columns=present)
    return replace(layout, ignored=tuple(sorted(set(first.names) - set(layout.wanted))))


def _require_same(first_file: File, first: pa.Schema, file: File, found: pa.Schema) -> None:
    for name in sorted({*first.names, *found.names}):
        if name not in found.names or name not in first.names:
            has, lacks = (first_file, file) if name in first.names else (file, first_file)
            raise Refused(f"{lacks.name}: has no column {name!r}, but {has.name} has; land files of two schemas in two "
                          "runs")
        if found.field(name).type != first.field(name).type:
            raise Refused(f"{file.name}: column {name!r} is {found.field(name).type}, but {first.field(name).type} in "
                          f"{first_file.name}; export them alike")


def _require_column(layout: Layout, file: File, found: pa.Schema, column: Column, asked: Set[str]) -> None:
    theirs = layout.columns.get(column.name, column.name)
    if column.name in layout.columns and theirs in found.names:
        why = cells.refuse_type(column, found.field(theirs).type, layout.how, column.name in ID_KINDS)
        if why and file.format == "parquet":
            raise Refused(f"{file.name}: column {theirs!r} ({column.name}) {why}")
        return
    given = column.nullable or column.name in layout.constants or column.name == HASHED_WHERE_ABSENT \
        or column.name == "arrived_at" and layout.arrival != "log"
    if column.name in asked or not given:
        raise Refused(_lacking(layout, file, found, column.name, theirs))


def _lacking(layout: Layout, file: File, found: pa.Schema, name: str, theirs: str) -> str:
    there = f"(its columns: {', '.join(found.names[:30])})"
    what = f"{file.name}: no column {theirs!r} for {name} {there}"
    if name == "arrived_at":
        instead = "--arrived-at=event_time" if layout.table == "raw_events" else "--as-arrived DAY"
        return f"{what}. Where the log does not say when a row arrived, add {instead}"
    if name == "event_type":
        return f"{what}. Name it: --map event_type=NAME; or say what every row is: --event-type play"
    return f"{what}. Name it: --map {name}=NAME"


def require_no_drift(layout: Layout, ignore: Set[str], without: Set[str]) -> None:
    """Refused when the files lack an optional column that the last landing of this table had, or have one that it had
    not: a renamed column would otherwise silently become nulls. `ignore` and `without` name what is meant."""
    before = max(lineage.landings(layout.table), key=lambda entry: entry["number"], default=None)
    if before is None or not layout.files:
        return
    name = layout.files[0].name
    excused = {*layout.columns, *without, *(["arrived_at"] if layout.arrival != "log" else [])}
    for lost in sorted(set(before["columns"]) - excused):
        raise Refused(f"{name}: column {lost!r}, which landing {before['number']} had, is missing (columns not read: "
                      f"{', '.join(layout.ignored) or 'none'}). Map it: --map {lost}=NAME; if the log really has it no "
                      f"more: --without {lost}")
    for new in sorted(set(layout.ignored) - set(before["ignored"]) - ignore):
        raise Refused(f"{name}: column {new!r} is new: landing {before['number']} had none. Map it: --map OURS={new}; "
                      f"or leave it out: --ignore {new}")
