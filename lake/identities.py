"""Ids of a log as int64: integers stay themselves, strings are hashed and kept."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lake import cells, lineage, numbered_log, snapshot
from lake.hashing import id_of_string
from lake.sources import Refused
from lake.tables import table

KINDS = ("user", "video", "creator", "event")


class StartAgain(Exception):
    """Ids that looked like integers turned out to be strings; `kind` says which."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass
class Identities:
    """What ids of each kind are ("int64" or "string"), who said so, and the strings met so far.

    Memory: one entry per distinct string id of users, videos and creators. Strings of events are hashed, not kept.
    """

    types: dict[str, str] = field(default_factory=dict)
    said_by: dict[str, str] = field(default_factory=dict)
    known: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def read(self, kind: str, column: pa.Array, where: str, declared_type: bool) -> pa.Array:
        """Ids of one batch as int64. `declared_type`: the file says itself whether it holds integers or strings.

        Refused when integers meet strings of an earlier landing or another file; StartAgain when text that was taken
        for integers is not.
        """
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_integer(column.type):
            self._say(kind, "int64", where, declared_type)
            return self._integers(kind, column, where)
        if declared_type or self.types.get(kind) == "string":
            self._say(kind, "string", where, declared_type)
            return self._hashed(kind, column.cast(pa.string()))
        try:
            found = cells.read_ids(column)
        except cells.NotIntegers as error:
            self._say(kind, "string", f"{where} ({error})", False)
            raise StartAgain(kind) from error
        if found.null_count < len(found):
            self._say(kind, "int64", where, False)
        return found

    def _integers(self, kind: str, column: pa.Array, where: str) -> pa.Array:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise Refused(f"{where}: {kind} ids do not fit into int64 ({error})") from error

    def _say(self, kind: str, found: str, where: str, declared_type: bool) -> None:
        if self.types.setdefault(kind, found) == found:
            if declared_type:
                self.said_by.setdefault(kind, where)
        elif kind not in self.said_by and found == "string":
            raise StartAgain(kind)
        else:
            raise Refused(f"{where}: {kind} ids are {found}, but {self.types[kind]} in "
                          f"{self.said_by.get(kind, 'other files')}; land ids of one kind only")

    def _hashed(self, kind: str, column: pa.Array) -> pa.Array:
        encoded = column.dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        known = self.known[kind] if kind != "event" else {}
        for text in texts:
            if text not in known:
                known[text] = id_of_string(text)
        return pa.array([known[text] for text in texts], pa.int64()).take(encoded.indices)

    def table(self) -> pa.Table:
        """The rows of the `ids` table. Refused when two strings became one id, here or in an earlier landing."""
        rows = [(kind, number, text) for kind in KINDS[:3] for text, number in self.known[kind].items()]
        found = pa.table([[row[n] for row in rows] for n in range(3)], schema=table("ids").schema)
        for kind in KINDS[:3]:
            if len(set(self.known[kind].values())) < len(self.known[kind]):
                raise Refused(f"two {kind} ids have the same 63-bit hash; rename one of them: "
                              f"{_same_hash(self.known[kind])}")
        if rows:
            self._require_same_as_before()
        return found

    def _require_same_as_before(self) -> None:
        for entry in lineage.landings("ids"):
            before = snapshot.read(lineage.landed(entry))
            for kind in KINDS[:3]:
                ours = {number: text for text, number in self.known[kind].items()}
                numbers = before["id"].to_numpy()
                same = np.isin(numbers, np.fromiter(ours, np.int64, len(ours)))
                for row in before.filter(pa.array(same)).to_pylist():
                    if row["kind"] == kind and ours[row["id"]] != row["original_id"]:
                        raise Refused(f"{kind} id {ours[row['id']]!r} has the same 63-bit hash as "
                                      f"{row['original_id']!r} of landing {entry['number']}; rename it")


def _same_hash(known: dict[str, int]) -> str:
    seen: dict[int, str] = {}
    for text, number in known.items():
        if number in seen:
            return f"{seen[number]!r} and {text!r}"
        seen[number] = text
    return ""


def of_earlier_landings() -> Identities:
    """What earlier landings said ids are."""
    found = Identities()
    for entry in numbered_log.entries("landing"):
        for kind, type_ in entry["id_types"].items():
            found.types[kind] = type_
            found.said_by[kind] = f"landing {entry['number']}"
    return found
