"""Spark as scheduler and shuffle of Arrow-native work: rows are read, computed and written as Arrow, bucket by bucket.

Spark's own operators never touch a value, so the bytes depend neither on Spark nor on its parallelism.
"""

import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import from_arrow_schema

from lake import snapshot
from lake.hashing import BUCKETS, bucket_of
from lake.tables import table

ROWS_PER_PART = 2_000_000
_ACCOUNT = pa.schema([("account", pa.string())])

Work = Callable[[int, list[int]], list[dict]]
Produce = Callable[[list[int]], pa.Table]
Finish = Callable[[pa.Table], tuple[pa.Table, dict]]


def parts_for(rows: int, session: SparkSession) -> int:
    """How many files for so many rows: a power of two up to 64, at least one per core once it is worth it."""
    wanted = max(rows // ROWS_PER_PART, min(session.sparkContext.defaultParallelism, rows // 50_000), 1)
    return min(1 << (wanted - 1).bit_length(), BUCKETS)


def buckets_of_part(part: int, parts: int) -> list[int]:
    """The buckets dealt to a part: `bucket % parts`."""
    return list(range(part, BUCKETS, parts))


def per_bucket(session: SparkSession, work: Work, parts: int) -> list[dict]:
    """Run `work(part, its buckets)` for every part on the cluster; the JSON-able results in part order.

    `work` reads and writes the lake by itself.
    """
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in _numbers(batches):
            results = work(part, buckets_of_part(part, parts))
            yield pa.record_batch([pa.array([json.dumps(results)])], schema=_ACCOUNT)

    rows = session.range(0, parts, 1, numPartitions=parts).mapInArrow(run, "account string").collect()
    return [result for row in rows for result in json.loads(row["account"])]


def shuffle_and_write(session: SparkSession, produce: Produce, schema: pa.Schema, parts: int, name: str, folder: str,
                      finish: Finish) -> list[dict]:
    """Produce rows from some buckets, bring them together by the table's own bucket, finish and write each part.

    produce: rows (of `schema`) from a list of input buckets. finish: the rows of one output part → rows to write and
    more JSON-able facts for that part's account. Returns the accounts in part order.
    """
    bucket_by = table(name).bucket_by

    def map_side(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in _numbers(batches):
            rows = produce(buckets_of_part(part, parts))
            target = bucket_of(rows[bucket_by].to_numpy()) % parts
            yield from rows.append_column("_part", pa.array(target, pa.int32())).to_batches(max_chunksize=100_000)

    def reduce_side(rows: pa.Table) -> pa.Table:
        part = rows["_part"][0].as_py()
        finished, facts = finish(rows.drop_columns("_part"))
        account = snapshot.write_part(name, folder, finished, f"part-{part:05d}") | facts
        return pa.table({"account": [json.dumps(account)]}, schema=_ACCOUNT)

    keyed = schema.append(pa.field("_part", pa.int32()))
    mapped = session.range(0, parts, 1, numPartitions=parts).mapInArrow(map_side, from_arrow_schema(keyed))
    rows = mapped.repartition(parts, "_part").groupBy("_part").applyInArrow(reduce_side, "account string").collect()
    return sorted((json.loads(row["account"]) for row in rows), key=lambda account: account["path"])


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from np.asarray(batch.column(0)).tolist()
