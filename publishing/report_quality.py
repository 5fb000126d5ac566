"""Quality beside the baselines, tonight's model and the trainings before it, from the promotion log."""

from html import escape

from publishing import report_facts as facts
from publishing.live import Loaded
from publishing.svg_charts import Estimate, dots, trend

METRIC = "ndcg@10"
OURS = "model"
STAGES = {"listed": "in the list of 100", "not_in_catalogue": "not in the catalogue when the list was made",
          "seen_before": "watched before: never listed again", "not_retrieved": "found by no source",
          "cut_by_rank": "found, ranked too low", "diversity": "lost to diversity and freshness",
          "exploration": "lost to exploration"}


def quality(loaded: Loaded) -> str:
    """The judged quality of the newest training, with intervals, and the trend over all of them."""
    past = facts.trainings(loaded.release.date)
    if not past:
        return ("<h2>Quality</h2><p>No training has been judged yet. The lists are a popularity baseline, and say so."
                "</p>")
    newest, judged = past[-1], estimates(past[-1])
    why = escape(str(newest.get("reason", "")))
    said = f"<h2>Quality</h2><p>The training of {newest['as_of']} was {escape(newest['decision'])}: {why}.</p>"
    if not judged:
        return said
    rows = sorted(judged.items(), key=lambda each: -each[1].value)
    return (f"{said}<div class='two'><div><h3>{METRIC} on the judged days, with 95 % intervals</h3>"
            + dots([(name, each, name == OURS) for name, each in rows])
            + f"</div><div><h3>Over the trainings</h3>{_trend(past)}</div></div>" + _ledger(newest))


def _ledger(entry: dict) -> str:
    """Where the judged days' watches went: listed, or lost by which stage; empty for trainings that did not count."""
    told = (entry.get("judged") or {}).get("ledger") or {}
    rows = [(words, told[stage]) for stage, words in STAGES.items() if stage in told]
    if not rows:
        return ""
    cells = "".join(f"<tr><td>{words}</td><td>{share:.1%}</td></tr>" for words, share in rows)
    return (f"<h3>What became of {told['watches']:,} watches of {told['users']:,} people on the judged days</h3>"
            f"<table>{cells}<tr><td>in all</td><td>{sum(share for _, share in rows):.1%}</td></tr></table>"
            "<p>Judged with exact search; what the night's index loses is its recall, under Steps.</p>")


def _trend(past: list[dict]) -> str:
    lines = [estimates(entry) for entry in past]
    names = sorted({name for line in lines for name in line})
    return trend([entry["as_of"] for entry in past], {name: [line.get(name) for line in lines] for name in names}, OURS)


def estimates(entry: dict) -> dict[str, Estimate]:
    """The metric of every judged system: name → value with its interval, [value, low, high] or a plain number."""
    for told in (entry.get("judged"), entry.get("metrics")):
        systems = told.get(METRIC) if isinstance(told, dict) else None
        if isinstance(systems, dict):
            return {name: _estimate(value) for name, value in systems.items()}
    return {}


def _estimate(value: object) -> Estimate:
    if isinstance(value, dict):
        return Estimate(value["value"], value.get("low"), value.get("high"))
    if isinstance(value, list | tuple):
        return Estimate(*value)
    return Estimate(float(value))
