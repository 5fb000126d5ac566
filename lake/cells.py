"""From the cells that a log has to the types that a column declares: `read(...)` per column and batch.

A type that can't be meant (ids as floats, stamps without a zone) is refused by `refuse_type` before anything is read. A
single cell that can't be read becomes null and is reported, so that the row can go to quarantine.
"""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lake.columns import TIMESTAMP, Column

EARLIEST_US = 631_152_000_000_000  # 1990-01-01
LATEST_US = 4_102_444_800_000_000  # 2100-01-01, exclusive
_PER_UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1}
_DIGITS = np.array([10**n for n in range(1, 19)], np.uint64)


class NotIntegers(Exception):
    """A text column of ids holds something else than plain integers: all ids of that kind are strings."""


@dataclass(frozen=True)
class How:
    """How to read cells that leave a choice: unit of integer times, separator of lists in text, zone of plain dates."""

    time_unit: str | None = None
    separator: str = "|"
    no_categories: str = ""
    dates_at_hours: int | None = None


@dataclass(frozen=True)
class Read:
    """One column of a batch in its declared type; `bad` maps a reason to the rows (bool mask) that it concerns."""

    values: pa.Array
    bad: dict[str, np.ndarray] = field(default_factory=dict)


def refuse_type(column: Column, found: pa.DataType, how: How, is_id: bool) -> str | None:
    """Why a source column of this type can't be read as a declared column, or None when it can."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    text, whole = _is_text(found), pa.types.is_integer(found)
    if is_id:
        return None if text or whole else f"ids are {found}; export them as integers or strings (a float loses digits)"
    if column.type == TIMESTAMP:
        return _refuse_time(found, how)
    if pa.types.is_list(column.type):
        of_text = (pa.types.is_list(found) or pa.types.is_large_list(found)) and _is_text(found.value_type)
        return None if of_text or text else f"is {found}; a list of strings is needed"
    if pa.types.is_string(column.type):
        return None if text or whole else f"is {found}; strings are needed"
    return None if whole or pa.types.is_floating(found) else f"is {found}; numbers are needed"


def _refuse_time(found: pa.DataType, how: How) -> str | None:
    if pa.types.is_timestamp(found):
        return None if found.tz else "has timestamps without a time zone; export them as UTC, which zone they are in " \
                                     "can't be guessed"
    if pa.types.is_integer(found):
        return None if how.time_unit else "holds integers; say what they count since 1970: --time-unit s, ms or us"
    return f"is {found}; timestamps with a time zone, or integers with --time-unit, are needed"


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def read(column: Column, cells: pa.Array, how: How) -> Read:
    """Cells of a type that `refuse_type` let pass, as the declared type. Ids: see `read_ids`."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if column.type == TIMESTAMP:
        return _time(cells, how)
    if pa.types.is_list(column.type):
        return _list(cells, how)
    if pa.types.is_string(column.type):
        return Read(cells.cast(pa.string()))
    if pa.types.is_floating(column.type):
        values, unreadable = _cast(cells, column.type)
        return Read(values, _masks(unreadable=unreadable, nan=_mask(pc.is_nan(values))))
    return _whole(cells, column.type)


def read_ids(cells: pa.Array) -> pa.Array:
    """Integer ids as int64. Text counts as integers when each cell is the one usual spelling of its number.

    NotIntegers names the first text that is not.
    """
    if not _is_text(cells.type):
        return cells.cast(pa.int64())
    cells = cells.cast(pa.string())
    try:
        values = cells.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise NotIntegers(str(error)) from error
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    usual = np.searchsorted(_DIGITS, np.abs(numbers).view(np.uint64), side="right") + 1 + (numbers < 0)
    odd = pc.binary_length(cells).fill_null(1).to_numpy(zero_copy_only=False) != usual
    if odd.any():
        raise NotIntegers(repr(cells[int(np.flatnonzero(odd)[0])].as_py()[:40]))
    return values


def _whole(cells: pa.Array, kind: pa.DataType) -> Read:
    """Integers; floats and decimal text are rounded to the nearest."""
    if pa.types.is_integer(cells.type):
        values, unreadable = _cast(cells, kind)
        return Read(values, _masks(unreadable=unreadable))
    if _is_text(cells.type):
        try:
            return Read(cells.cast(kind))
        except pa.ArrowInvalid:
            cells, unreadable = _cast(cells, pa.float64())
    else:
        cells, unreadable = cells.cast(pa.float64()), np.zeros(len(cells), bool)
    nan = _mask(pc.is_nan(cells))
    numbers = cells.fill_null(0).to_numpy(zero_copy_only=False)
    limit = 2.0 ** (pa.types.is_int32(kind) and 31 or 53)
    absurd = ~nan & ~(np.abs(np.where(nan, 0, numbers)) < limit)
    kept = np.where(nan | absurd, 0, np.rint(numbers)).astype(np.int64)
    values = pa.array(kept, pa.int64(), mask=_mask(pc.is_null(cells)) | nan | absurd).cast(kind)
    return Read(values, _masks(unreadable=unreadable | absurd, nan=nan))


def _time(cells: pa.Array, how: How) -> Read:
    if _is_text(cells.type):
        return _time_text(cells, how)
    if pa.types.is_timestamp(cells.type):
        return _bounded(cells.cast(TIMESTAMP, safe=False).cast(pa.int64()), 1)
    return _bounded(cells.cast(pa.int64()), _PER_UNIT_US[how.time_unit or "us"])


def _time_text(cells: pa.Array, how: How) -> Read:
    if how.time_unit:
        numbers, unreadable = _cast(cells, pa.int64())
        found = _bounded(numbers, _PER_UNIT_US[how.time_unit])
    elif how.dates_at_hours is not None:
        days, unreadable = _cast(cells, pa.date32())
        midnight = pc.multiply(days.cast(pa.int32()).cast(pa.int64()), 86_400_000_000)
        found = _bounded(pc.subtract(midnight, how.dates_at_hours * 3_600_000_000), 1)
    else:
        stamps, unreadable = _cast(cells, TIMESTAMP)
        found = _bounded(stamps.cast(pa.int64()), 1)
    return Read(found.values, {**found.bad, **_masks(unreadable=unreadable)})


def _bounded(counts: pa.Array, unit_us: int) -> Read:
    """Counts since 1970 as timestamps; those outside [1990, 2100) become null and `absurd_time`."""
    numbers = counts.fill_null(EARLIEST_US // unit_us).to_numpy(zero_copy_only=False)
    absurd = (numbers < EARLIEST_US // unit_us) | (numbers >= LATEST_US // unit_us)
    if unit_us == 1 and not absurd.any():
        return Read(counts.cast(TIMESTAMP))
    kept = np.where(absurd, 0, numbers) * unit_us
    return Read(pa.array(kept, TIMESTAMP, mask=_mask(pc.is_null(counts)) | absurd), _masks(absurd_time=absurd))


def _list(cells: pa.Array, how: How) -> Read:
    """Lists of strings; text is split at the separator, and empty parts are dropped."""
    if not _is_text(cells.type):
        values = cells.cast(pa.list_(pa.string()))
        holes = _mask(pc.is_null(values.flatten()))
        rows = np.unique(pc.list_parent_indices(values).to_numpy(zero_copy_only=False)[holes])
        unreadable = np.zeros(len(values), bool)
        unreadable[rows] = True
        return Read(values, _masks(unreadable=unreadable))
    return Read(pa.array([_split(text, how) for text in cells.to_pylist()], pa.list_(pa.string())))


def _split(text: str | None, how: How) -> list[str] | None:
    if text is None:
        return None
    return [] if text == how.no_categories else [part for part in text.split(how.separator) if part]


def _cast(cells: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """Cast, with the cells that can't be as nulls and a mask of them; halves again and again around a bad cell."""
    try:
        return cells.cast(kind), np.zeros(len(cells), bool)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        if len(cells) == 1:
            return pa.nulls(1, kind), np.ones(1, bool)
    middle = len(cells) // 2
    left, right = _cast(cells.slice(0, middle), kind), _cast(cells.slice(middle), kind)
    return pa.concat_arrays([left[0], right[0]]), np.concatenate([left[1], right[1]])


def _mask(found: pa.Array) -> np.ndarray:
    return found.fill_null(False).to_numpy(zero_copy_only=False)


def _masks(**masks: np.ndarray) -> dict[str, np.ndarray]:
    return {reason: mask for reason, mask in masks.items() if mask.any()}
