"""How a log's files map to a table, and whether the files are what the mapping says, before any heavy work."""

from dataclasses import dataclass, field, replace

import pyarrow as pa

from lake import cells, sources
from lake.columns import Column
from lake.sources import File, Refused
from lake.tables import Table, table

ID_KINDS = {"user_id": "user", "video_id": "video", "creator_id": "creator", "event_id": "event"}


@dataclass(frozen=True)
class Also:
    """A row tells one more event of this type where a source column is at least a number."""

    event_type: str
    column: str
    at_least: float


@dataclass(frozen=True)
class Layout:
    """Files of one table. `columns`: declared name → name in the files; `constants`: declared name → the same value for
    every row; `fields`: the columns of files of lines; `arrival`: "log", "assumed" (event_time) or "derived".
    """

    table: str
    files: tuple[File, ...]
    columns: dict[str, str]
    how: cells.How = cells.How()
    constants: dict[str, str] = field(default_factory=dict)
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


def checked(layout: Layout, asked: frozenset[str]) -> Layout:
    """The layout with the columns that its files have. Refused when a file lacks one that is required or was asked for
    by name, has one in a type that can't be meant, or differs from the first file."""
    if not layout.files:
        return layout
    schemas = [(file, sources.schema(file, layout.fields)) for file in layout.files]
    first_file, first = schemas[0]
    for file, found in schemas[1:]:
        _require_same(layout, first_file, first, file, found)
    present = {name: source for name, source in layout.columns.items() if source in first.names}
    for rule in layout.also:
        if rule.column not in first.names:
            raise Refused(_lacking(layout, first_file, first, rule.event_type, rule.column))
    for column in layout.declared.columns:
        _require_column(layout, first_file, first, column, asked)
    extra = tuple(sorted(set(first.names) - set(layout.wanted)))
    return replace(layout, columns=present, ignored=extra)


def _require_same(layout: Layout, first_file: File, first: pa.Schema, file: File, found: pa.Schema) -> None:
    for name in sorted({*first.names, *found.names}):
        if name not in found.names or name not in first.names:
            has, lacks = (first_file, file) if name in first.names else (file, first_file)
            raise Refused(f"{lacks.name}: has no column {name!r}, {has.name} has one; land files of two schemas in two "
                          "runs")
        if found.field(name).type != first.field(name).type:
            raise Refused(f"{file.name}: column {name!r} is {found.field(name).type}, in {first_file.name} it is "
                          f"{first.field(name).type}; export them alike")


def _require_column(layout: Layout, file: File, found: pa.Schema, column: Column, asked: frozenset[str]) -> None:
    source = layout.columns.get(column.name, column.name)
    if source not in found.names:
        given = column.name in layout.constants or column.name == "event_id" and layout.table == "raw_events"
        if column.name == "arrived_at":
            given = layout.arrival != "log"
        if column.name in asked or not (column.nullable or given):
            raise Refused(_lacking(layout, file, found, column.name, source))
        return
    why = cells.refuse_type(column, found.field(source).type, layout.how, column.name in ID_KINDS)
    if why and column.name in layout.columns and file.format == "parquet":
        raise Refused(f"{file.name}: column {source!r} ({column.name}) {why}")


def _lacking(layout: Layout, file: File, found: pa.Schema, name: str, source: str) -> str:
    there = ", ".join(found.names[:30])
    if name == "arrived_at":
        return (f"{file.name}: no column {source!r} says when each row arrived. Where the log has no such time, add "
                + ("--arrived-at=event_time" if layout.table == "raw_events" else "--as-arrived DAY")
                + f", or name the column: --map arrived_at=NAME (columns here: {there})")
    return (f"{file.name}: no column {source!r} for {name}; name it: --map {name}=NAME (columns here: {there})")
