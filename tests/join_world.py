"""Hostile little worlds for the join of any spine: ties at one microsecond, nulls, late rows, moments on every border
of every window, empty sides, keys of one or two columns, integers or strings. Deterministic by seed."""

import math
from functools import cache

import numpy as np
import pyarrow as pa

from features.own_views import EventView, OwnView, VersionView, aggregate
from lake.columns import TIMESTAMP
from tests import join_oracle

DAY_US = 86_400_000_000
START_US = 1_767_225_600_000_000
WINDOWS = ("1us", "10m", "7d", "365d")
AGES = ("1us", "10m", "30d", None)
AGGREGATES = ("count", "count value", "sum value", "mean value", "min value", "max value", "sum score", "mean score",
              "min score", "max score", "distinct score", "distinct tag", "min tag", "max tag", "max happened",
              "last value", "last tag", "last 1 tag", "last 3 value")
KEYS = ((("user", "user"),), (("name", "name"),), (("user", "user"), ("name", "name")), (("who", "user"),))


def tables(seed: int) -> tuple[pa.Table, pa.Table]:
    """A spine (row, user, who, name, t) and events (user, name, happened, arrived, seq, value, score, tag)."""
    rng = np.random.default_rng(seed)
    asked, events = int(rng.integers(0, 30)) if seed % 19 else 0, int(rng.integers(1, 60)) if seed % 13 else 0
    happened = _times(rng, events)
    late = rng.choice([0, 0, 0, 1, 2, 600_000_000, DAY_US, 7 * DAY_US, 400 * DAY_US, -5], events)
    borders = np.concatenate([happened, happened + late, [START_US]])
    widths = [join_oracle.width_us(window) for window in WINDOWS]
    shift = rng.choice([0, 1, -1, *widths, *widths, *(-width for width in widths), 600_000_001], asked)
    spine = pa.table({
        "row": pa.array(rng.permutation(asked), pa.int64()), **_keys(rng, asked, pa.int32(), pa.string()),
        "who": pa.array(rng.choice([1, 2, 9], asked), pa.int64()),
        "t": pa.array(rng.choice(borders, asked) + shift, TIMESTAMP)})
    return spine, pa.table({
        **_keys(rng, events, pa.int64(), pa.large_string()), "happened": pa.array(happened, TIMESTAMP),
        "arrived": pa.array(happened + late, TIMESTAMP),
        "seq": pa.array(rng.permutation(events), pa.int64()),
        "value": pa.array(rng.choice([0, 1, -7, 2**53 + 1, 2**57, -(2**57)], events), mask=rng.random(events) < 0.2),
        "score": pa.array(_floats(rng, events), mask=rng.random(events) < 0.2),
        "tag": pa.array(rng.choice(["a", "b", "", "ß"], events).tolist(), pa.string(), mask=rng.random(events) < 0.2)})


def _keys(rng: np.random.Generator, count: int, kind: pa.DataType, text: pa.DataType) -> dict[str, pa.Array]:
    return {"user": pa.array(rng.choice([1, 2, -3], count), kind, mask=rng.random(count) < 0.15),
            "name": pa.array(rng.choice(["x", "y", ""], count).tolist(), text, mask=rng.random(count) < 0.15)}


def _times(rng: np.random.Generator, count: int) -> np.ndarray:
    """Many at the same microsecond, many exactly a window apart."""
    steps = [0, 0, 1, 600_000_000, 600_000_001, DAY_US, 7 * DAY_US, 7 * DAY_US - 1, 365 * DAY_US]
    return START_US + rng.choice(steps, count) + rng.choice(steps, count)


def _floats(rng: np.random.Generator, count: int) -> np.ndarray:
    usual = [0.1, 0.2, -0.3, 1e16, -1e16, 1.0, 5e-324, -0.0, 1e-300, 3.5]
    return rng.choice(usual + ([math.nan, math.inf, -math.inf] if count % 3 == 0 else []), count)


def view(seed: int, mode: str) -> OwnView:
    """The view of a world; every world has another key, age and mixture."""
    said = {"name": "v", "table": "events", "key": KEYS[seed % len(KEYS)], "event_time": "happened",
            "arrived_at": "arrived", "tiebreak": ("seq",)}
    if mode == "version":
        age = AGES[seed // 4 % len(AGES)]
        return VersionView(**said, columns=("value", "tag", "score"), max_age_us=age and join_oracle.width_us(age))
    return EventView(**said, windows=WINDOWS, aggregates=tuple(map(aggregate, AGGREGATES)))


def plain(rows: pa.Table) -> list[dict]:
    """Rows as dictionaries that compare: instants as integers, NaN as a text."""
    return [{name: _plain(value) for name, value in row.items()} for row in raw(rows)]


def raw(rows: pa.Table) -> list[dict]:
    for n, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            rows = rows.set_column(n, field.name, rows[field.name].cast(pa.int64()))
    return rows.to_pylist()


def _plain(value: object) -> object:
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


@cache
def expected(seed: int, mode: str) -> list[dict]:
    """The spine's rows in their order with the oracle's columns."""
    spine, events = map(raw, tables(seed))
    declared, found = view(seed, mode), []
    for row in spine:
        if isinstance(declared, VersionView):
            last = join_oracle.version(row, events, declared.key, declared.max_age_us) or {}
            values = {f"v_{name}": last.get(name) for name in declared.columns}
        else:
            values = {}
            for window in WINDOWS:
                inside = join_oracle.window(row, events, declared.key, join_oracle.width_us(window))
                values |= {f"v_{one.name}_{window}": join_oracle.value(one.function, one.column, one.size, inside)
                           for one in declared.aggregates}
        found.append({name: _plain(value) for name, value in (row | values).items()})
    return found
