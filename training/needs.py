"""Which tables a training reads, so that they can be built before it and name what it learned from."""

from datetime import date, timedelta

from funnel.night import load_histories
from lake import lineage
from lake.hashing import digest
from lake.snapshot import Plan
from training import label_days, settings

HOLDOUT_DAYS = 7
TABLES = ("histories", "catalogue", "popularity", "feature_snapshots", "training_examples")


def dates_of(as_of: date, holdout_days: int = HOLDOUT_DAYS) -> tuple[date, date]:
    """Where the judged fit stands, and where the refit stands."""
    return as_of - timedelta(days=holdout_days), as_of


def list_dates(as_of: date, holdout_days: int = HOLDOUT_DAYS) -> list[date]:
    """The dates whose feature snapshots the training lists of both fits read. How far back they reach depends on the log:
    lineage.Missing while the histories of the first fit are not built."""
    judged, last = dates_of(as_of, holdout_days)
    days = label_days.choose(load_histories(judged), judged, holdout_days)
    return [*days.nights(judged), *days.nights(last)]


def plan(as_of: date, holdout_days: int = HOLDOUT_DAYS) -> Plan:
    """The model snapshot a training makes; its identity is the training's. lineage.Missing names what to build."""
    inputs = {f"{name} {day}": lineage.resolve(name, day).content_hash
              for day in dates_of(as_of, holdout_days) for name in TABLES}
    inputs["events"] = digest(chunk.content_hash for chunk in lineage.chunks("events", as_of))
    inputs["blocked"] = digest(map(str, lineage.blocked(as_of)))
    return Plan("model", as_of, {"holdout_days": holdout_days, **settings.declared()}, inputs)


