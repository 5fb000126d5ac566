"""What good data is: for every table that another job reads, its checks, each with a reason.

A check bounds one metric of a snapshot's profile (validation/metrics.py says what is counted). Bounds are numbers or
names of facts of the plan: `last_instant` is the last microsecond before as_of, `k` the list length asked for, and so
on. `fail` refuses the snapshot, `warn` is written down. Both bounds are inclusive.
"""

from dataclasses import dataclass

from lake.tables import EXAMPLE_FEATURES, FEATURES, MEASURES, TABLES, Table, table

FAIL, WARN = "fail", "warn"
ROWS_TO_MEDIAN, NULL_RISE = "rows_to_median", "null_rise"
EARLIEST_US = 0
SUMS = frozenset(MEASURES + FEATURES + EXAMPLE_FEATURES)
_FADING = tuple(table("popularity").parameters["half_life_days"])


@dataclass(frozen=True)
class Check:
    """One bound on one metric; why says what goes wrong downstream without it."""

    metric: str
    min: float | str | None
    max: float | str | None
    severity: str
    why: str

    @property
    def relative(self) -> bool:
        """Compared with the trailing 28 days: left out while there is no history, only a warning while it is small."""
        return self.metric == ROWS_TO_MEDIAN or self.metric.endswith(f".{NULL_RISE}")


# Tables that no suite judges, and who does.
JUDGED_ELSEWHERE = {
    "quarantine": "no job reads it; the share of quarantined rows is bounded at landing",
    "model": "the promotion gate judges a model by its metrics",
    "release": "written only after every file it names was verified",
}


def at_least(metric: str, bound: float | str, why: str, severity: str = FAIL) -> Check:
    return Check(metric, bound, None, severity, why)


def at_most(metric: str, bound: float | str, why: str, severity: str = FAIL) -> Check:
    return Check(metric, None, bound, severity, why)


def between(metric: str, low: float | str, high: float | str, why: str, severity: str = FAIL) -> Check:
    return Check(metric, low, high, severity, why)


def _unique(declared: Table) -> Check:
    return at_most("duplicate_keys", 0, f"a row is one {' × '.join(declared.key)}; a second one would count twice")


def _complete(declared: Table, summed: bool = False) -> tuple[Check, ...]:
    """No nulls where the declaration allows none; columns of sums are judged together when `summed`."""
    columns = [c for c in declared.columns if not c.nullable and not (summed and c.name in SUMS)]
    checks = tuple(at_most(f"{c.name}.null_share", 0, f"required: {c.doc}") for c in columns)
    if not summed:
        return checks
    return (*checks, at_most("sums.null_share", 0, "a sum without events is 0, never null"),
            at_least("sums.min", 0, "counts and watch time can't be negative"))


def _steady(*columns: str, severity: str = FAIL) -> tuple[Check, ...]:
    """Optional columns that vanish from one day to the next mean a broken log, not a poorer one."""
    return tuple(at_most(f"{column}.{NULL_RISE}", 0.5, f"{column} vanished from rows that used to have it", severity)
                 for column in columns)


def _floor(share: float, why: str, severity: str = FAIL) -> Check:
    return at_least(ROWS_TO_MEDIAN, share, why, severity)


def _some(why: str, severity: str = FAIL) -> Check:
    return at_least("rows", 1, why, severity)


_HALF_A_DAY = _floor(0.5, "less than half the usual day looks like a log that was cut off")
_HALF_AGAIN = _floor(0.5, "less than half the usual day; landing refused it or a person accepted it there", WARN)
_POOR_MONTH = _floor(0.5, "half of what a month usually teaches; a day that was cut off is refused at landing, and people "
                     "may simply come less", WARN)
_NO_FUTURE = at_most("arrived_at.max", "last_instant", "a row that arrived at as_of or later was not known yet")
_HAPPENED = between("event_time.min", EARLIEST_US, "last_instant", "an event before 1970 is a broken clock")
_TOLERANCE = at_most("event_time.max", "next_instant", "an event over a day ahead of its arrival is a broken clock")
_EMPTY_DAY = _some("a sealed day without rows is data, but somebody should know", WARN)
_MEASURED = at_least("watch_ms.min", 0, "watch time can't be negative")
_PROPENSITY = between("propensity.min", 0, 1, "a probability")
_PROPENSITY_TOP = between("propensity.max", 0, 1, "a probability")
_LENGTH = at_least("duration_ms.min", 0, "a video can't be shorter than nothing")
_EVENT_COLUMNS = ("watch_ms", "request_id", "position", "country")
_BEST_FIRST = between("rank.min", 1, 1, "ranks count from 1; a list without a first place is broken")
_SCORED = at_most("score.nan_share", 0, "a score that is no number can't be ordered")
_GROWS = _floor(0.9, "what was ever known stays known, so this table only grows; it lost rows")


def _checks() -> dict[str, tuple[Check, ...]]:
    t = table
    return {
        "raw_events": (_EMPTY_DAY, _HALF_A_DAY, _unique(t("raw_events")), *_complete(t("raw_events")), _NO_FUTURE,
                       _HAPPENED, _TOLERANCE, _MEASURED, _PROPENSITY, _PROPENSITY_TOP, *_steady(*_EVENT_COLUMNS)),
        "raw_videos": (_some("a landing without videos changes nothing", WARN), _floor(0.1, "the catalogue export is "
                       "a tenth of its usual size; daily changes after a first full export are that too", WARN),
                       _unique(t("raw_videos")), *_complete(t("raw_videos")),
                       _NO_FUTURE, _LENGTH, *_steady("categories", "title", "creator_id", "duration_ms")),
        "raw_users": (_some("a landing without users changes nothing", WARN), _floor(0.1, "the user export is a tenth "
                      "of its usual size; daily changes after a first full export are that too", WARN),
                      _unique(t("raw_users")), *_complete(t("raw_users")), _NO_FUTURE,
                      *_steady("country", "language")),
        "ids": (_some("an integer log has no string ids", WARN), _floor(0.1, "a tenth of the usual new ids", WARN),
                _unique(t("ids")), *_complete(t("ids"))),
        "events": (_EMPTY_DAY, _HALF_AGAIN, _unique(t("events")), *_complete(t("events")), _NO_FUTURE, _HAPPENED,
                   _TOLERANCE, _MEASURED, _PROPENSITY, _PROPENSITY_TOP, *_steady(*_EVENT_COLUMNS, severity=WARN)),
        "tiles": (_EMPTY_DAY, _HALF_AGAIN, _unique(t("tiles")), *_complete(t("tiles"), summed=True),
                  at_most("arrival_day.max", "last_day", "a tile may only hold what arrived before as_of"),
                  at_most("event_day.max", "next_day", "an event day far ahead of its arrival is a broken clock"),
                  at_least("event_day.min", 0, "an event day before 1970 is a broken clock")),
        "feature_snapshots": (_some("no event in 28 days: every feature is at its default", WARN),
                              _floor(0.2, "most entities lost their features at once; a log with long pauses does "
                                     "that by itself", WARN),
                              _unique(t("feature_snapshots")), *_complete(t("feature_snapshots"), summed=True)),
        "catalogue": (_some("no videos, no recommendations"), _GROWS, _unique(t("catalogue")),
                      *_complete(t("catalogue")), _LENGTH,
                      at_least("eligible.true_share", 1e-9, "every video is unpublished or removed, nothing to show"),
                      at_least("eligible.true_share", 0.05, "nearly every video is gone: look at removed_at", WARN),
                      *_steady("categories", "title", "creator_id", "duration_ms")),
        "histories": (_some("no users, no recommendations"), _GROWS, _unique(t("histories")),
                      *_complete(t("histories")), at_least("play_count.min", 0, "plays can't be negative"),
                      at_most("video_ids.max", "length", "histories hold the last plays, no more than declared"),
                      at_most("last_play_at.max", "next_instant", "a last play far ahead of as_of is a broken clock"),
                      *_steady("country", "last_play_at")),
        "popularity": (_some("without plays there is no fallback list"), _GROWS, _unique(t("popularity")),
                       *_complete(t("popularity")), at_least("play_count_all.min", 0, "plays can't be negative"),
                       at_least("play_count_7d.min", 0, "plays can't be negative"),
                       *(at_least(f"{name}.min", 0, "weights are positive") for name in _FADING),
                       *(at_most(f"{name}.nan_share", 0, "a weight that is no number breaks the order") for name in _FADING)),
        "labels": (_some("nothing to learn from"), _POOR_MONTH,
                   _unique(t("labels")), *_complete(t("labels")), *_label_checks()),
        "training_examples": (_some("nothing to learn from"), _POOR_MONTH,
                              between("rows_beyond_labels", 0, 0, "every label row comes out of the join exactly once"),
                              _unique(t("training_examples")), *_complete(t("training_examples"), summed=True),
                              *_label_checks()),
        "ann_index": (at_least("ntotal", 1, "an index without videos finds nothing"),
                      at_least("recall", 0.95, "an index that misses near neighbours hides videos from everyone")),
        "recommendations": (_some("nobody gets a list"), _floor(0.5, "half of the lists went missing"),
                            _unique(t("recommendations")), *_complete(t("recommendations")), _BEST_FIRST, _SCORED,
                            at_least("rank.max", "k", "not even the longest list has K rows: the catalogue is small, "
                                     "or retrieval found too little", WARN)),
        "fallback": (_some("a new user would see nothing"), _floor(0.5, "half of the fallback lists went missing"),
                     _unique(t("fallback")), *_complete(t("fallback")), _BEST_FIRST, _SCORED,
                     at_least("rank.max", "k", "the fallback list is shorter than K", WARN)),
    }


def _label_checks() -> tuple[Check, ...]:
    return (at_most("event_time.max", "last_instant", "a label from as_of or later has not matured"), _HAPPENED,
            _MEASURED, _LENGTH, _PROPENSITY, _PROPENSITY_TOP,
            at_least("played.true_share", 1e-6, "no label was ever played: plays lost their impressions", WARN),
            *_steady("watch_ms", "duration_ms", "creator_id", "categories"))


SUITES: dict[str, tuple[Check, ...]] = _checks()


def suite(name: str) -> tuple[Check, ...]:
    """The checks of a table. KeyError for a table that is judged elsewhere or not at all, saying where."""
    if name not in SUITES:
        where = JUDGED_ELSEWHERE.get(name, f"known: {', '.join(declared.name for declared in TABLES)}")
        raise KeyError(f"no suite for {name!r}: {where}")
    return SUITES[name]
