"""Views of a data scientist's own: what to join to a spine, from which table. Declarations only; nothing here runs.

    [price]                                   # version: the last row, columns price_price and price_currency
    mode = "version"
    table = "prices.parquet"                  # a Parquet file or folder; or events, raw_videos, raw_users of the lake
    key = ["shop", "item_id=item"]            # one column or several; SPINE=TABLE where the names differ
    event_time = "valid_from"
    arrived_at = "loaded_at"                  # when a row could be known; the event_time column if that is the truth
    tiebreak = ["row_id"]
    columns = ["price", "currency"]
    max_age = "30d"

    [watched]                                 # event: columns watched_count_7d, watched_watch_ms_sum_7d, …
    mode = "event"
    table = "events"
    where = { event_type = "play" }
    key = "user_id"
    windows = ["10m", "7d", "365d"]
    aggregates = ["count", "sum watch_ms", "distinct video_id", "last surface", "last 5 video_id"]
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields

UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
FUNCTIONS = ("count", "sum", "mean", "min", "max", "distinct", "last")
LAKE_TABLES = {"events": ("event_time", "arrived_at", ("event_id",)), "raw_videos": ("arrived_at", "arrived_at", ()),
               "raw_users": ("arrived_at", "arrived_at", ())}  # event time, arrival, tiebreak
_DURATION = re.compile(r"([1-9]\d{0,8})(us|ms|s|m|h|d)")
_NAME = re.compile(r"[A-Za-z]\w*")


def duration_us(text: str) -> int:
    """Microseconds of a text such as 30m, 12h, 7d, 365d. ValueError says how to write it."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is not a duration; write a number and one of {', '.join(UNITS_US)}: 30m, 7d")
    return int(found[1]) * UNITS_US[found[2]]


@dataclass(frozen=True)
class Aggregate:
    """One function of the rows in a window. count without a column counts rows, with one its values. `size` 0: `last`
    is the value of the last row; otherwise a list of the last `size` rows' values, oldest first."""

    function: str
    column: str = ""
    size: int = 0

    def __post_init__(self) -> None:
        if self.function not in FUNCTIONS or not (self.column or self.function == "count") \
                or self.size < 0 or self.size and self.function != "last":
            raise ValueError(f"no aggregate {self.function!r} of column {self.column!r}, size {self.size}; known: count, "
                             "count COLUMN, sum, mean, min, max, distinct, last COLUMN, last K COLUMN")

    @property
    def name(self) -> str:
        """`watch_ms_sum`, `count`, `video_id_last_5`; the window follows."""
        return "_".join(filter(None, (self.column, self.function, str(self.size or ""))))


def aggregate(text: str) -> Aggregate:
    """`count`, `sum watch_ms`, `last video_id`, `last 5 video_id`. ValueError names what is known."""
    words = text.split(maxsplit=2) if isinstance(text, str) else []
    if len(words) == 3 and words[1].isdecimal() and 0 < int(words[1]) <= 10_000:
        return Aggregate(words[0], words[2], int(words[1]))
    if len(words) in (1, 2):
        return Aggregate(*words)
    raise ValueError(f"{text!r} is not an aggregate; write for example: count, sum watch_ms, last 5 video_id")


@dataclass(frozen=True)
class OwnView:
    """What every view says. `key`: (spine column, table column) pairs. `where`: (column, values) that rows must have.
    Rows are in the total order (event_time, arrived_at, *tiebreak), then by content."""

    name: str
    table: str
    key: tuple[tuple[str, str], ...]
    event_time: str
    arrived_at: str
    tiebreak: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple], ...] = ()

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError(f"view {self.name!r} has no key; name at least one column: key = [\"user_id\"]")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a view; use letters, digits and _: it begins its columns")

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that its values come from."""
        raise NotImplementedError

    @property
    def gives(self) -> tuple[str, ...]:
        """The names of its columns."""
        raise NotImplementedError

    @property
    def table_key(self) -> tuple[str, ...]:
        """The table's columns that it is looked up by."""
        return tuple(theirs for _, theirs in self.key)

    @property
    def rows_asked(self) -> tuple:
        """What decides which rows a moment sees and in which order; views that are equal in it share that work."""
        return self.table, self.key, self.event_time, self.arrived_at, self.tiebreak, self.where

    @property
    def columns_read(self) -> list[str]:
        """Every table column that the join reads, once each."""
        return list(dict.fromkeys([*self.columns_valued, *self.tiebreak]))

    @property
    def columns_valued(self) -> list[str]:
        """The same without those that only order rows of one key and instant."""
        return list(dict.fromkeys([*self.table_key, self.event_time, self.arrived_at,
                                   *(column for column, _ in self.where), *self.needed]))


@dataclass(frozen=True)
class VersionView(OwnView):
    """`columns` of the last row that had happened and arrived strictly before t, null when there is none or it
    happened more than `max_age_us` before t (exactly as long ago is still used). All come from that one row."""

    columns: tuple[str, ...] = ()
    max_age_us: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.columns:
            raise ValueError(f"view {self.name!r} has no columns; name what to take: columns = [\"price\"]")

    @property
    def needed(self) -> tuple[str, ...]:
        return self.columns

    @property
    def gives(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{column}" for column in self.columns)


@dataclass(frozen=True)
class EventView(OwnView):
    """`aggregates` over each window [t - w, t) of the rows that had arrived strictly before t."""

    windows: tuple[str, ...] = ()
    aggregates: tuple[Aggregate, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for window in self.windows:
            duration_us(window)
        if not self.windows or not self.aggregates:
            raise ValueError(f"view {self.name!r} needs windows = [\"7d\"] and aggregates = [\"count\"]")

    @property
    def needed(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.column for one in self.aggregates if one.column))

    @property
    def gives(self) -> tuple[str, ...]:
        return tuple(f"{self.name}_{one.name}_{window}" for window in self.windows for one in self.aggregates)


def read_views(content: bytes) -> dict[str, OwnView]:
    """The views of a TOML file by name. ValueError names the view and what can't be meant; unknown names are errors."""
    try:
        told = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"not a file of views: {error}; an example: docs/point-in-time.md") from error
    return {name: _view(name, settings) for name, settings in told.items()}


def _view(name: str, settings: object) -> OwnView:
    if not isinstance(settings, dict):
        raise ValueError(f"{name!r} stands outside of a view; begin one with [name]")
    left = dict(settings)
    mode, max_age = left.pop("mode", None), left.pop("max_age", None)
    if mode not in ("version", "event"):
        raise ValueError(f"view {name!r}: mode {mode!r} is neither \"version\" nor \"event\"")
    view = VersionView if mode == "version" else EventView
    known = {field.name for field in fields(view)} - {"name", "max_age_us"} | {"mode"} \
        | ({"max_age"} if mode == "version" else set())
    if unknown := sorted(set(settings) - known):
        raise ValueError(f"view {name!r}: no setting {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    try:
        given = {setting: _READ[setting](value) for setting, value in left.items()}
        return view(name=name, **_with_times(given), **({"max_age_us": duration_us(max_age)} if max_age else {}))
    except (ValueError, TypeError) as error:
        raise ValueError(f"view {name!r}: {error}") from error


def _with_times(given: dict) -> dict:
    """The lake's own tables say themselves which columns are their times; other tables must."""
    event_time, arrived_at, tiebreak = LAKE_TABLES.get(given.get("table", ""), (None, None, ()))
    found = {"key": (), "event_time": event_time, "arrived_at": arrived_at, "tiebreak": tiebreak} | given
    for name in ("table", "event_time", "arrived_at"):
        if not found.get(name):
            raise ValueError(f"{name} is not said (arrived_at may name the same column as event_time)")
    return found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{value!r} is not a text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(dict.fromkeys(_text(one) for one in values))


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    """`user_id` or `spine_name=table_name`, each."""
    halves: Iterable[tuple[str, str, str]] = (one.partition("=") for one in _texts(value))
    return tuple((_text(ours), theirs if equals else ours) for ours, equals, theirs in halves)


def _where(value: object) -> tuple[tuple[str, tuple], ...]:
    if not isinstance(value, dict):
        raise ValueError("where is { column = value } or { column = [values] }")
    return tuple((column, tuple(wanted) if isinstance(wanted, list) else (wanted,)) for column, wanted in value.items())


_READ = {"table": _text, "event_time": _text, "arrived_at": _text, "key": _pairs, "tiebreak": _texts, "where": _where,
         "columns": _texts, "windows": _texts, "aggregates": lambda value: tuple(map(aggregate, _texts(value)))}
