"""Identity: the same rows always have one hash, other rows another, and ids are what they were yesterday."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.hashing import BUCKETS, bucket_of, canonical_json, digest, id_of_string, rows_hash, slice_hashes, splitmix64

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string()), ("tags", pa.list_(pa.string())), ("score", pa.float64()),
                    ("ok", pa.bool_()), ("at", pa.timestamp("us", "UTC")), ("day", pa.date32())])
ROWS = st.lists(st.fixed_dictionaries({
    "n": st.none() | st.integers(-(2**63), 2**63 - 1), "text": st.none() | st.text(max_size=5),
    "tags": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3), "score": st.none() | st.floats(),
    "ok": st.none() | st.booleans(), "at": st.none() | st.integers(0, 10**15), "day": st.none() | st.integers(0, 9999),
}), max_size=12)


def table_of(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def test_splitmix64_is_the_published_function():
    """The first outputs of the reference generator from seed 0: each is the finalizer of a multiple of its gamma."""
    gamma = 0x9E3779B97F4A7C15
    seeds = np.array([(n * gamma) % 2**64 for n in range(3)], np.uint64)
    assert [int(value) for value in splitmix64(seeds)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_buckets_stay_where_they_are():
    """Changing one of these moves every row of every lake."""
    ids = np.array([0, 1, 2, -1, 2**63 - 1, -(2**63)])
    assert bucket_of(ids).tolist() == [int(value) % 64 for value in splitmix64(ids)]
    assert bucket_of(np.array([0, 1, 2])).tolist() == [47, 1, 14]
    counts = np.bincount(bucket_of(np.arange(64_000)), minlength=BUCKETS)
    assert counts.min() > 850 and counts.max() < 1_150


def test_string_ids_are_the_first_63_bits_of_sha256():
    for text in ("", "bob", "é", "007"):
        bits = int(hashlib.sha256(text.encode()).hexdigest(), 16) >> (256 - 63)
        assert id_of_string(text) == bits < 2**63


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 12))
def test_a_slice_has_the_hash_of_its_rows(rows, cut):
    whole = table_of(rows)
    slices = [(0, min(cut, len(rows))), (min(cut, len(rows)), len(rows)), (0, 0)]
    assert slice_hashes(whole, slices) == [rows_hash(table_of(rows[start:end])) for start, end in slices]


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 12))
def test_rows_have_one_hash_however_they_are_chunked(rows, cut):
    whole = table_of(rows)
    pieces = pa.concat_tables([whole.slice(0, cut), whole.slice(cut), whole.slice(0, 0)])
    padded = pa.concat_tables([whole, whole]).slice(len(rows), len(rows))
    assert rows_hash(whole) == rows_hash(pieces) == rows_hash(padded) == rows_hash(padded.combine_chunks())


@settings(max_examples=150, deadline=None)
@given(first=ROWS, second=ROWS)
def test_other_rows_have_another_hash(first, second):
    assert (rows_hash(table_of(first)) == rows_hash(table_of(second))) == (canonical(first) == canonical(second))


def canonical(rows: list[dict]) -> list:
    """Rows as Python compares them, with every NaN equal and -0.0 equal to 0.0."""
    return [tuple("nan" if row[name] != row[name] else row[name] for name in SCHEMA.names) for row in rows]


def test_what_could_be_mistaken_is_told_apart():
    def one(**cells: object) -> str:
        return rows_hash(table_of([cells]))

    hashes = [one(), one(n=0), one(text=""), one(tags=[]), one(tags=[None]), one(tags=[""]), one(score=0.0),
              one(ok=False)]
    assert len(set(hashes)) == len(hashes)
    assert rows_hash(table_of([{"text": "ab"}, {"text": "c"}])) != rows_hash(table_of([{"text": "a"}, {"text": "bc"}]))
    assert rows_hash(table_of([{"tags": ["a", "b"]}])) != rows_hash(table_of([{"tags": ["ab"]}]))
    assert rows_hash(table_of([{"n": 1}, {"n": 2}])) != rows_hash(table_of([{"n": 2}, {"n": 1}]))


def test_names_and_types_are_part_of_the_hash():
    values = pa.table({"a": pa.array([1], pa.int64())})
    assert rows_hash(values) != rows_hash(values.rename_columns(["b"]))
    assert rows_hash(values) != rows_hash(values.cast(pa.schema([("a", pa.int32())])))


def test_hidden_bytes_under_nulls_do_not_matter():
    plain = pa.table({"n": pa.array([1, None], pa.int64())})
    masked = pa.table({"n": pa.array(np.array([1, 99]), mask=np.array([False, True]))})
    assert rows_hash(plain) == rows_hash(masked)


def test_json_has_one_spelling():
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    with pytest.raises(ValueError):
        canonical_json(float("nan"))
    assert digest(["a", "b"]) != digest(["b", "a"]) != digest(["a,b"])
