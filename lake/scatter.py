"""Rows on their way to whole buckets, in bounded memory."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from lake import storage
from lake.hashing import BUCKETS, bucket_of
from lake.tables import Table

ROWS_IN_MEMORY = 4_000_000


@dataclass
class Scatter:
    """Takes rows of a table in any order and gives them back as groups of whole buckets.

    Holds at most `limit` rows; what is more waits in temporary files that have no name, so that a killed run leaves
    none behind. A group is larger than `limit` only when one bucket alone is.
    """

    declared: Table
    limit: int = ROWS_IN_MEMORY
    rows: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BUCKETS, np.int64))
    _held: list[pa.Table] = field(default_factory=list)
    _held_rows: int = 0
    _spilled: list[pa.RecordBatchFileReader] = field(default_factory=list)

    def add(self, rows: pa.Table) -> None:
        """Rows with the declared schema."""
        if not rows.num_rows:
            return
        self._held.append(rows)
        self._held_rows += rows.num_rows
        self.rows += rows.num_rows
        if self._held_rows >= self.limit:
            self._spill()

    def groups(self) -> Iterator[pa.Table]:
        """Every row once; each group holds whole buckets, ascending. One empty group when there are no rows."""
        if not self._spilled:
            yield pa.concat_tables([self.declared.schema.empty_table(), *self._held])
            return
        if self._held:
            self._spill()
        first = 0
        for last in self._borders():
            batches = [spilled.get_batch(n) for spilled in self._spilled for n in range(first, last)]
            yield pa.Table.from_batches(batches, self.declared.schema)
            first = last

    def _borders(self) -> list[int]:
        """Ends (exclusive) of runs of buckets with at most `limit` rows each."""
        borders, held = [], 0
        for bucket, count in enumerate(self.counts):
            if held and held + count > self.limit:
                borders.append(bucket)
                held = 0
            held += count
        return [*borders, BUCKETS]

    def _spill(self) -> None:
        """One file with one record batch per bucket."""
        rows = pa.concat_tables(self._held)
        self._held, self._held_rows = [], 0
        buckets = bucket_of(rows[self.declared.bucket_by].to_numpy()).astype(np.uint8)
        counts = np.bincount(buckets, minlength=BUCKETS)
        rows = rows.take(pa.array(np.argsort(buckets, kind="stable")))
        file = _nameless_file()
        sink = pa.PythonFile(file, mode="w")
        with pa.ipc.new_file(sink, self.declared.schema) as writer:
            for start, count in zip(np.cumsum(counts) - counts, counts, strict=True):
                part = rows.slice(start, count).combine_chunks().to_batches()
                writer.write_batch(part[0] if part else pa.RecordBatch.from_pylist([], self.declared.schema))
        self.counts += counts
        file.seek(0)
        self._spilled.append(pa.ipc.open_file(pa.PythonFile(file, mode="r")))


def _nameless_file() -> BinaryIO:
    root = storage.home()
    if not storage.is_local(root):
        return tempfile.TemporaryFile()
    os.makedirs(root, exist_ok=True)
    return tempfile.TemporaryFile(dir=root)
