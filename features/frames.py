"""Spark as scheduler and shuffle of Arrow-native work: rows are read, computed and written as Arrow, bucket by bucket.

Spark's own operators never touch a value, so the bytes depend neither on Spark nor on its parallelism. Without a
session (None) the same work runs in this process, in one part: a lake of a few thousand rows, such as an audit's, is
done before a JVM has started.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from lake import storage, writing
from lake.hashing import BUCKETS, bucket_of
from lake.tables import table

ROWS_PER_PART = 2_000_000
_ACCOUNT = pa.schema([("account", pa.string())])

Work = Callable[[int, list[int]], list[dict]]
Produce = Callable[[list[int]], pa.Table]
Finish = Callable[[pa.Table], tuple[pa.Table, dict]]


def parts_for(rows: int, session: SparkSession | None) -> int:
    """How many files for so many rows: a power of two up to 64, at least one per core once it is worth it."""
    if session is None:
        return 1
    wanted = max(rows // ROWS_PER_PART, min(session.sparkContext.defaultParallelism, rows // 50_000), 1)
    return min(1 << (wanted - 1).bit_length(), BUCKETS)


def buckets_of_part(part: int, parts: int) -> list[int]:
    """The buckets dealt to a part: `bucket % parts`."""
    return list(range(part, BUCKETS, parts))


@contextmanager
def broadcast(session: SparkSession | None, value: object) -> Iterator[Callable[[], object]]:
    """Hand one value to every task of a block: tasks call what they are given."""
    if session is None:
        yield lambda: value
        return
    shared = session.sparkContext.broadcast(value)
    try:
        yield lambda: shared.value
    finally:
        shared.destroy()


def per_bucket(session: SparkSession | None, work: Work, parts: int) -> list[dict]:
    """Run `work(part, its buckets)` for every part on the cluster; the JSON-able results in part order.

    `work` reads and writes the lake by itself.
    """
    if session is None:
        return [result for part in range(parts) for result in work(part, buckets_of_part(part, parts))]

    def run(part: int) -> pa.Table:
        return pa.table({"account": [json.dumps(work(part, buckets_of_part(part, parts)))]}, schema=_ACCOUNT)

    rows = _map_parts(session, run, _ACCOUNT, parts).collect()
    return [result for row in rows for result in json.loads(row["account"])]


def collect_rows(session: SparkSession | None, produce: Produce, schema: pa.Schema, parts: int) -> pa.Table:
    """The rows (of `schema`) that every part produces from its buckets, brought to the driver."""
    if session is None:
        return pa.concat_tables([produce(buckets_of_part(part, parts)) for part in range(parts)])
    return _map_parts(session, lambda part: produce(buckets_of_part(part, parts)), schema, parts).toArrow()


def shuffle_and_write(session: SparkSession | None, produce: Produce, schema: pa.Schema, parts: int, name: str, folder: str,
                      finish: Finish) -> list[dict]:
    """Produce rows from some buckets, bring them together by the table's own bucket, finish and write each part.

    produce: rows (of `schema`) from a list of input buckets. finish: the rows of one output part → rows to write and
    more JSON-able facts for that part's account. Returns the accounts in part order.
    """
    bucket_by = table(name).bucket_by
    if session is None:
        rows, facts = finish(produce(list(range(BUCKETS))))
        return [snapshot.write_part(name, folder, rows, "part-00000") | facts]

    def with_target(part: int) -> pa.Table:
        rows = produce(buckets_of_part(part, parts))
        return rows.append_column("_part", pa.array(bucket_of(rows[bucket_by].to_numpy()) % parts, pa.int32()))

    def write(rows: pa.Table) -> pa.Table:
        part = rows["_part"][0].as_py()
        finished, facts = finish(rows.drop_columns("_part"))
        account = writing.write_part(name, folder, finished, f"part-{part:05d}") | facts
        return pa.table({"account": [json.dumps(account)]}, schema=_ACCOUNT)

    mapped = _map_parts(session, with_target, schema.append(pa.field("_part", pa.int32())), parts)
    rows = mapped.repartition(parts, "_part").groupBy("_part").applyInArrow(write, "account string").collect()
    return sorted((json.loads(row["account"]) for row in rows), key=lambda account: account["path"])


def _map_parts(session: SparkSession, work: Callable[[int], pa.Table], schema: pa.Schema, parts: int) -> DataFrame:
    """One Spark task per part number. Workers look for the lake where the driver does, whatever their environment."""
    home = storage.home()

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        os.environ["NIGHTREEL_HOME"] = home
        for batch in batches:
            for part in batch.column(0).to_pylist():
                yield from work(part).to_batches(max_chunksize=100_000)

    return session.range(0, parts, 1, numPartitions=parts).mapInArrow(run, from_arrow_schema(schema))
