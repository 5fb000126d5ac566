"""Between Spark and the lake: frames read from snapshots, and snapshots written bucket by bucket.

Spark shuffles and schedules; rows are read, computed and written as Arrow, so that the bytes do not depend on Spark.
"""

import json
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import IntegerType

from lake import snapshot
from lake.hashing import BUCKETS, bucket_of
from lake.snapshot import Manifest
from lake.tables import table

ROWS_PER_PART = 2_000_000
_ACCOUNT = pa.schema([("account", pa.string())])


def read_frame(session: SparkSession, name: str, manifests: list[Manifest]) -> DataFrame:
    """The rows of several snapshots of one table, with its declared schema even when there are none."""
    schema = from_arrow_schema(table(name).schema)
    paths = [path for manifest in manifests for path in snapshot.paths(manifest)]
    if not paths:
        return session.createDataFrame([], schema)
    return session.read.schema(schema).parquet(*paths)


def parts_for(rows: int, session: SparkSession) -> int:
    """How many files for so many rows: a power of two up to 64, at least one per core once it is worth it."""
    wanted = max(rows // ROWS_PER_PART, min(session.sparkContext.defaultParallelism, rows // 50_000), 1)
    return min(1 << (wanted - 1).bit_length(), BUCKETS)


@F.arrow_udf(IntegerType())
def bucket_column(ids: pa.Array) -> pa.Array:
    """The fixed bucket of a non-null long column: the same function as everywhere, on Arrow batches of that column."""
    return pa.array(bucket_of(ids.to_numpy()).astype(np.int32))


def write_frame(frame: DataFrame, name: str, folder: str, parts: int) -> list[dict]:
    """Write a frame as the files of one snapshot attempt; returns their accounts (see `snapshot.write_part`)."""
    declared = table(name)

    def write(rows: pa.Table) -> pa.Table:
        part = rows["_part"][0].as_py()
        account = snapshot.write_part(name, folder, rows, f"part-{part:05d}")
        return pa.table({"account": [json.dumps(account)]}, schema=_ACCOUNT)

    keyed = frame.select(*declared.schema.names,
                         (bucket_column(F.col(declared.bucket_by)) % parts).cast("int").alias("_part"))
    written = keyed.groupBy("_part").applyInArrow(write, "account string").collect()
    return sorted((json.loads(row["account"]) for row in written), key=lambda account: account["path"])


def per_bucket(session: SparkSession, work: Callable[[int, list[int]], list[dict]], parts: int) -> list[dict]:
    """Run `work(part, its buckets)` for every part on the cluster and collect the JSON-able results in part order.

    The 64 buckets are dealt to the parts as `bucket % parts`. `work` reads and writes the lake by itself.
    """
    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for part in batch.column(0).to_pylist():
                results = work(part, list(range(part, BUCKETS, parts)))
                yield pa.record_batch([pa.array([json.dumps(results)])], schema=_ACCOUNT)

    rows = session.range(0, parts, 1, numPartitions=parts).mapInArrow(run, "account string").collect()
    return [result for row in rows for result in json.loads(row["account"])]
