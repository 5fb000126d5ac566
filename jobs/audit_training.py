"""The judged model of a training is the same, bit for bit, whatever happens in the days that it is judged on."""

from datetime import date

import numpy as np

from jobs import build
from jobs.audit_poison import Finding
from jobs.audit_worlds import Records, fewer, land
from jobs.small_lake import small_lake
from lake.dates import midnight_us
from lake.hashing import sha256_of
from training import needs
from training.progress import Epoch
from validation.differences import Difference
from validation.poison import poisoned

EVENTS, PASSES = 5_000, 2


def findings(records: Records, as_of: date, holdout_days: int) -> list[Finding]:
    """Fit on the small world as it is and with another future from as_of - holdout_days on; weights, settings and the
    lists that would be judged must be equal."""
    from training import session

    since, _ = needs.dates_of(as_of, holdout_days)
    records = fewer(records, as_of, EVENTS)
    try:
        one = _fitted(records, as_of, holdout_days)
        other = _fitted(poisoned(records, midnight_us(since)), as_of, holdout_days)
    except session.TooLittle as error:
        return [Finding("judged model", f"nothing: {error}")]
    wrong = [Difference("model", name, 1) for name in sorted(one.keys() | other.keys())
             if one.get(name) != other.get(name)]
    return [Finding("judged model", f"{len(one)} files and lists, fitted with and without [{since}, {as_of})", wrong)]


def _fitted(records: Records, as_of: date, holdout_days: int) -> dict[str, str]:
    """File or list → sha256, of the judged fit on a small world."""
    from training import bundle, judging, session

    with small_lake("training"):
        land(records, as_of, as_of)
        for built in needs.dates_of(as_of, holdout_days):
            build.main([*build.BUILT, "--as-of", str(built)])
        build.build_feature_snapshots(needs.list_dates(as_of, holdout_days))
        epochs: list[Epoch] = []
        material, _, judged, _ = session.judged_fit(as_of, holdout_days, lambda line: None, epochs.append, PASSES)
        lists = judging.lists(material, judged)
        files, described = bundle.files(judged)
    found = {name: sha256_of(content) for name, content in files.items()}
    passes = [[epoch.stage, epoch.number, epoch.values.get("loss"), epoch.values.get("ndcg@10")] for epoch in epochs]
    return found | {"settings": repr(described), "passes": repr(passes),
                    "lists": sha256_of(np.ascontiguousarray(lists).tobytes())}
