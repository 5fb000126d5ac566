"""The join of a spine of one's own by nested loops over plain dictionaries. Slow, short, and meant to be read."""

import math

UNITS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}


def width_us(window: str) -> int:
    unit = window.lstrip("0123456789")
    return int(window.removesuffix(unit)) * UNITS[unit]


def fits(row: dict, event: dict, key: list[tuple[str, str]]) -> bool:
    """Whether all key columns are equal; null equals nothing, not even null."""
    return all(row[ours] is not None and row[ours] == event[theirs] for ours, theirs in key)


def seen(row: dict, events: list[dict], key: list[tuple[str, str]]) -> list[dict]:
    """What had happened and arrived strictly before the row's moment, in the total order."""
    found = [e for e in events if fits(row, e, key) and e["happened"] < row["t"] and e["arrived"] < row["t"]]
    return sorted(found, key=lambda e: (e["happened"], e["arrived"], e["seq"]))


def version(row: dict, events: list[dict], key: list[tuple[str, str]], max_age_us: int | None) -> dict | None:
    """The last row, None when there is none or it is too old."""
    rows = seen(row, events, key)
    if not rows or max_age_us is not None and row["t"] - rows[-1]["happened"] > max_age_us:
        return None
    return rows[-1]


def window(row: dict, events: list[dict], key: list[tuple[str, str]], window_us: int) -> list[dict]:
    return [e for e in seen(row, events, key) if row["t"] - window_us <= e["happened"]]


def rank(value: object) -> object:
    """Values in order; of floats NaN is the greatest."""
    return (math.isnan(value), 0.0 if math.isnan(value) else value) if isinstance(value, float) else value


def value(function: str, column: str, size: int, rows: list[dict]) -> object:
    """One aggregate of the rows of a window, oldest first."""
    if function == "count" and not column:
        return len(rows)
    if function == "last":
        every = [row[column] for row in rows]
        return every[-size:] if size else every[-1] if every else None
    values = [row[column] for row in rows if row[column] is not None]
    if function == "count":
        return len(values)
    if function == "sum":
        return total(values)
    if function == "mean":
        return float(total(values)) / len(values) if values else None
    if function == "distinct":
        return len({repr(v + 0.0) if isinstance(v, float) else v for v in values})
    return {"min": min, "max": max}[function](values, key=rank) if values else None


def total(values: list) -> int | float:
    """The exact sum; of floats rounded once, NaN where infinities cancel."""
    if not any(isinstance(v, float) for v in values):
        return sum(values)
    return math.nan if {math.inf, -math.inf} <= set(values) else math.fsum(values)
