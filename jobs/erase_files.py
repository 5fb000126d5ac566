"""Where a user's id may be outside the lake's tables: every other file of a home, decoded.

A string id, and the number it became, is looked for as a word in everything, bytes included when it is long enough not
to turn up by chance. A log's own integer is a user's only where the text says so (`user 466`, `"user_id": 7`), or in a
column of users: the same number is also a video, a count, a port.
"""

import json
import posixpath
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lake import storage
from lake.erasure import Person

LONG_ENOUGH = 8  # characters
ERASED = "[erased]"
_OF_USERS = re.compile(r"(.*_)?(user|viewer)(_id|_original_id)?")


@dataclass(frozen=True)
class Traces:
    """How to recognize a user: `words`, of string ids, stand for nobody else; `said` counts behind user or viewer."""

    whom: Person
    words: re.Pattern | None = field(init=False)
    said: re.Pattern = field(init=False)

    def __post_init__(self) -> None:
        own = sorted({self.whom.original_id, str(self.whom.user_id)})
        either = "|".join(map(re.escape, own))
        object.__setattr__(self, "words", re.compile(rf"(?<![\w-])({either})(?![\w-])") if len(own) == 2 else None)
        object.__setattr__(self, "said", re.compile(rf"(?i)((?:user|viewer)(?!s)[\w\"'\\]{{0,14}}[\s:=\[>]{{1,4}}"
                                                    rf"[\"'\\]{{0,2}})({either})(?![\w-]|,\d)"))

    def in_text(self, text: str) -> bool:
        return bool(self.words and self.words.search(text)) or bool(self.said.search(text))

    def erased(self, text: str) -> str:
        text = self.words.sub(ERASED, text) if self.words else text
        return self.said.sub(lambda match: match[1] + ERASED, text)


    def in_bytes(self, content: bytes) -> bool:
        """A long string id, as it is written, anywhere in a file of any kind."""
        written = self.whom.original_id.encode()
        return self.words is not None and len(written) >= LONG_ENOUGH and written in content


def found_in(path: str, content: bytes, traces: Traces) -> str:
    """What tells of the user in a file, in a few words; empty when nothing does."""
    if content[:4] == b"PAR1":
        return _in_parquet(content, traces) or ("its bytes" if traces.in_bytes(content) else "")
    if content[:15] == b"SQLite format 3":
        return ", ".join(f"{table}.{column}" for table, column, _ in _in_database(path, traces))
    text = content.decode("utf-8", errors="replace")
    if path.endswith(".json") and _in_json(text, traces):
        return "a value"
    return "a line" if traces.in_text(text) else "its bytes" if traces.in_bytes(content) else ""


def _in_parquet(content: bytes, traces: Traces) -> str:
    rows = storage.parquet(content)
    return ", ".join(name for name in rows.column_names if pc.any(_cells(rows, name, traces)).as_py())


def _cells(rows: pa.Table, name: str, traces: Traces) -> pa.ChunkedArray:
    """Which cells of a column are the user's id, or texts that tell it (bool)."""
    column, whom, texts = rows[name], traces.whom, rows.column_names
    nobody = pa.chunked_array([[False] * rows.num_rows], pa.bool_())
    # An original_id is a user's in histories, and in nothing else that has one but `ids`, which holds no integers.
    of_users = bool(_OF_USERS.fullmatch(name)) or name == "original_id" and "play_count" in texts
    if pa.types.is_integer(column.type):
        mask = pc.fill_null(pc.equal(column.cast(pa.int64(), safe=False), pa.scalar(whom.user_id)), False)
        if name == "entity_id" and "view" in texts and not traces.words:
            return pc.and_(mask, pc.is_in(rows["view"], pa.array(whom.views)))
        return mask if of_users or traces.words else nobody
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        if of_users:
            return pc.fill_null(pc.equal(column, whom.original_id), False)
        distinct = column.unique().to_pylist()
        telling = [text for text in distinct if text and traces.in_text(text)]
        return pc.is_in(column, pa.array(telling, column.type))
    return nobody


def _in_json(text: str, traces: Traces) -> bool:
    try:
        return _told(json.loads(text), False, traces.whom)
    except (ValueError, RecursionError):
        return False


def _told(value: object, of_users: bool, whom: Person) -> bool:
    """Whether JSON has the id under a key of users: `{"user_id": {"min": 7}}`, `{"users": [7]}`."""
    if isinstance(value, dict):
        return any(_told(inner, of_users or _names_users(key, inner), whom) for key, inner in value.items())
    if isinstance(value, list):
        return any(_told(inner, of_users, whom) for inner in value)
    return of_users and str(value) in (whom.original_id, str(whom.user_id)) and not isinstance(value, bool)


def _names_users(key: str, value: object) -> bool:
    return bool(_OF_USERS.fullmatch(key)) or key == "users" and isinstance(value, list)


def _in_database(path: str, traces: Traces) -> Iterator[tuple[str, str, int]]:
    """(table, column, rows) of a SQLite file that tell of the user."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        for table, column in _text_columns(database):
            cells = database.execute(f'select "{column}" from "{table}"')
            hits = sum(traces.in_text(_text(cell)) for (cell,) in cells)
            if hits:
                yield table, column, hits


def _text_columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    return [(table, row[1]) for table in tables for row in database.execute(f'pragma table_info("{table}")')]


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def erase_from(path: str, content: bytes, traces: Traces) -> str:
    """Take the user out of a file that is no table of the lake. What was done, in words."""
    if content[:4] == b"PAR1":
        return _rows_out(path, content, traces)
    if content[:15] == b"SQLite format 3":
        return _database_out(path, traces)
    if posixpath.splitext(path)[1] in (".html", ".png", ".svg"):
        storage.delete_file(path)
        return "page removed"
    storage.replace(path, traces.erased(content.decode("utf-8", errors="surrogateescape")).encode(
        "utf-8", errors="surrogateescape"))
    return "lines redacted"


def _rows_out(path: str, content: bytes, traces: Traces) -> str:
    rows = storage.parquet(content)
    mask = pa.chunked_array([[False] * rows.num_rows], pa.bool_())
    for name in rows.column_names:
        mask = pc.or_(mask, _cells(rows, name, traces))
    sink = pa.BufferOutputStream()
    pq.write_table(rows.filter(pc.invert(mask)), sink, compression="zstd", write_page_checksum=True)
    storage.replace(path, sink.getvalue().to_pybytes())
    return f"{pc.sum(mask).as_py():,} rows out"


def _database_out(path: str, traces: Traces) -> str:
    with closing(sqlite3.connect(path, timeout=20)) as database:
        changed = 0
        for table, column, _ in list(_in_database(path, traces)):
            database.create_function("erased", 1, lambda value: traces.erased(_text(value)))
            database.create_function("tells", 1, lambda value: int(traces.in_text(_text(value))))
            changed += database.execute(f'update "{table}" set "{column}" = erased("{column}") '
                                        f'where tells("{column}")').rowcount
        database.commit()
        database.execute("vacuum")
    return f"{changed} cells redacted"
