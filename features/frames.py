"""Spark as scheduler and shuffle of Arrow-native work: rows are read, computed and written as Arrow, bucket by bucket.

Spark's own operators never touch a value, so the bytes depend neither on Spark nor on its parallelism. Without a
context (None) the same work runs in this process, in one part: a lake of a few thousand rows, such as an audit's, is
done before a JVM has started.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark import RDD, SparkContext

from lake import storage, writing
from lake.hashing import BUCKETS, bucket_of
from lake.tables import table

ROWS_PER_PART = 2_000_000

Work = Callable[[int, list[int]], list[dict]]
Produce = Callable[[list[int]], pa.Table]
Finish = Callable[[pa.Table], tuple[pa.Table, dict]]


def parts_for(rows: int, context: SparkContext | None) -> int:
    """How many files for so many rows."""
    return parts_of(rows, context.defaultParallelism) if context else 1


def parts_of(rows: int, cores: int, rows_per_part: int = ROWS_PER_PART) -> int:
    """A power of two up to 64, at least one per core once it is worth it."""
    wanted = max(rows // rows_per_part, min(cores, rows // 50_000), 1)
    return min(1 << (wanted - 1).bit_length(), BUCKETS)


def buckets_of_part(part: int, parts: int) -> list[int]:
    """The buckets dealt to a part: `bucket % parts`."""
    return list(range(part, BUCKETS, parts))


@contextmanager
def broadcast(context: SparkContext | None, value: object) -> Iterator[Callable[[], object]]:
    """Hand one value to every task of a block: tasks call what they are given."""
    if context is None:
        yield lambda: value
        return
    shared = context.broadcast(value)
    try:
        yield lambda: shared.value
    finally:
        shared.destroy()


def per_bucket(context: SparkContext | None, work: Work, parts: int) -> list[dict]:
    """Run `work(part, its buckets)` for every part on the cluster; the results in part order.

    `work` reads and writes the lake by itself.
    """
    if context is None:
        return [result for part in range(parts) for result in work(part, buckets_of_part(part, parts))]
    return _collected(_per_part(context, lambda part: work(part, buckets_of_part(part, parts)), parts))


def balanced(context: SparkContext | None, task: Callable[[int], dict], sizes: Sequence[int]) -> list[dict]:
    """Run `task(n)` for every n below len(sizes); the results in order. sizes: how much work each is, roughly."""
    if context is None:
        return [task(n) for n in range(len(sizes))]
    hands = hands_of(sizes, context.defaultParallelism)
    found = _collected(_per_part(context, lambda part: [(n, task(n)) for n in hands[part]], len(hands)))
    return [result for _, result in sorted(found, key=lambda pair: pair[0])]


def hands_of(sizes: Sequence[int], cores: int) -> list[list[int]]:
    """Numbers of tasks, the largest first, in hands that become one Spark task each, since each of those has its price:
    half of what is left, shared by the cores, so that they get smaller and all cores end together. Source: Polychronopoulos
    and Kuck, "Guided self-scheduling", IEEE Transactions on Computers, 1987."""
    left = sum(sizes)
    hands: list[list[int]] = []
    room = 0.0
    for n in sorted(range(len(sizes)), key=lambda n: (-sizes[n], n)):
        if not hands or sizes[n] > 2 * room:  # nearer to what it should be without this one
            hands.append([])
            room = left / (2 * cores)
        hands[-1].append(n)
        room, left = room - sizes[n], left - sizes[n]
    return hands


def balanced_from_start(starting: Future[SparkContext | None], task: Callable[[int], dict],
                        sizes: Sequence[int]) -> list[dict]:
    """The same for a context that is still starting: until it is there this process works, the smallest tasks first."""
    left, found = sorted(range(len(sizes)), key=lambda n: (-sizes[n], n)), {}
    while left and not starting.done():
        n = left.pop()
        found[n] = task(n)
    if left:
        rest = balanced(starting.result(), lambda n: task(left[n]), [sizes[n] for n in left])
        found |= zip(left, rest, strict=True)
    return [found[n] for n in range(len(sizes))]


def collect_rows(context: SparkContext | None, produce: Produce, schema: pa.Schema, parts: int) -> pa.Table:
    """The rows (of `schema`) that every part produces from its buckets, brought to the driver."""
    if context is None:
        return pa.concat_tables([produce(buckets_of_part(part, parts)) for part in range(parts)])
    found = _collected(_per_part(context, lambda part: [_to_bytes(produce(buckets_of_part(part, parts)))], parts))
    return pa.concat_tables([schema.empty_table(), *map(_from_bytes, found)])


def shuffle_and_write(context: SparkContext | None, produce: Produce, parts: int, name: str, folder: str,
                      finish: Finish) -> list[dict]:
    """Produce rows from some buckets, bring them together by the table's own bucket, finish and write each part.

    produce: rows from a list of input buckets. finish: the rows of one output part → rows to write and more facts for
    that part's account. Returns the accounts in part order.
    """
    bucket_by = table(name).bucket_by
    if context is None:
        rows, facts = finish(produce(list(range(BUCKETS))))
        return [writing.write_part(name, folder, rows, "part-00000") | facts]

    def apart(part: int) -> Iterator[tuple[int, bytes]]:
        rows = produce(buckets_of_part(part, parts))
        target = bucket_of(rows[bucket_by].to_numpy()) % parts
        rows = rows.take(pa.array(np.argsort(target, kind="stable")))
        borders = np.searchsorted(np.sort(target), np.arange(parts + 1))
        for n in np.flatnonzero(np.diff(borders)).tolist():
            yield n, _to_bytes(rows.slice(borders[n], borders[n + 1] - borders[n]))

    def write(part: int, messages: Iterator[tuple[int, bytes]]) -> Iterator[dict]:
        pieces = [_from_bytes(message) for _, message in messages]
        if pieces:
            rows, facts = finish(pa.concat_tables(pieces))
            yield writing.write_part(name, folder, rows, f"part-{part:05d}") | facts

    moved = _per_part(context, apart, parts).partitionBy(parts, lambda part: part)
    return _collected(moved.mapPartitionsWithIndex(_at_home(write)))


def _per_part(context: SparkContext, work: Callable, parts: int) -> RDD:
    """What `work(part)` gives for each part number, one Spark task each."""
    return context.parallelize(range(parts), parts).flatMap(_at_home(work))


def _collected(rows: RDD) -> list:
    """The results in part order. RuntimeError whose last line is what a task died of, without Java's stack."""
    try:
        return rows.collect()
    except Py4JJavaError as error:
        said = error.java_exception.getMessage().split("\n\tat ")[0].partition("\n SQLSTATE")[0]
        raise RuntimeError(said.strip()) from None


def _at_home(work: Callable) -> Callable:
    """The function, looking for the lake where the driver does, whatever the worker's environment."""
    home = storage.home()

    def run(*arguments: object) -> object:
        os.environ["NIGHTREEL_HOME"] = home
        return work(*arguments)

    return run


def _to_bytes(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()


def _from_bytes(content: bytes) -> pa.Table:
    return pa.ipc.open_stream(content).read_all()
