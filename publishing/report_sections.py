"""The sections of the nightly report as HTML, top to bottom."""

from datetime import timedelta
from html import escape

from publishing import report_facts as facts
from publishing.live import Loaded
from publishing.people import People, Person, Recommended
from publishing.release_file import NO_MODEL
from publishing.report_quality import quality
from publishing.svg_charts import Bar, bars, pairs

PEOPLE, PLAYS, ROWS = 10, 8, 10
LOG_NAMES = {"raw_events": "events", "raw_videos": "videos", "raw_users": "users"}

__all__ = ["header", "lineage", "lists", "log", "people", "quality", "steps", "validation"]


def header(loaded: Loaded) -> str:
    """What this is, in a few numbers."""
    release, counts = loaded.release, loaded.release.counts
    made = {"publish": "", "rollback": f" It is a rollback to release {release.restores}.",
            "block": f" It hides a blocked video: {release.why}.",
            "erase": " A user was erased from it."}[release.kind]
    by = ("No model has passed the gate yet, so the lists are the best popularity baseline."
          if release.model == NO_MODEL else f"Model version {release.model} made the lists.")
    seconds = sum(step.seconds or 0 for step in facts.steps(loaded))
    hidden = len(release.tombstones["videos"])
    return (f'<div class="eyebrow">Nightreel · nightly report</div><h1>The night of {release.as_of}</h1>'
            f"<p>Release {release.number}, made from what had arrived before {release.as_of} 00:00 UTC. "
            f"{by}{escape(made)}"
            f"{f' {hidden:,} videos are hidden from its tables.' if hidden else ''}</p>"
            + _tiles([("users with a list", f"{counts['users']:,}"), ("rows published", f"{counts['rows']:,}"),
                      ("rows per list", f"{release.k}"), ("videos known", f"{counts['videos']:,}"),
                      ("model", release.model), ("seconds computed", f"{seconds:,.0f}")]))


def steps(loaded: Loaded) -> str:
    """Rows and seconds per step, and whether the night was on time."""
    found = facts.steps(loaded)
    rows = [[_mono(step.table), f"{step.manifest.rows:,}", _seconds(step.seconds),
             escape(step.committed_at[:19].replace("T", " ")), _passed(step.manifest.checks)] for step in found]
    timed = [Bar(step.table, step.seconds, _seconds(step.seconds)) for step in found if step.seconds is not None]
    return ("<h2>Steps</h2><p class='soft'>Rows and seconds as recorded when each table was committed; a table that "
            "existed already cost nothing tonight.</p>"
            + _table(["table", "rows", "seconds", "committed (UTC)", "checks"], rows, right={1, 2})
            + (f"<div class='two'><div><h3>Where the time went</h3>{bars(timed)}</div><div><h3>On time</h3>"
               f"{_on_time(loaded)}</div></div>" if timed else _on_time(loaded)))


def _on_time(loaded: Loaded) -> str:
    past = [each for each in facts.published(loaded.release) if each.kind == "publish"]
    late = facts.late_nights(past)
    if not late:
        return f"<p>Every published night so far ({len(past)}) was live by its plan, as_of + 6 h.</p>"
    worst = max(late, key=lambda each: each[1])
    return (f"<p>{len(late)} of {len(past)} published nights went live later than planned (as_of + 6 h), the latest "
            f"by {_long(worst[1])} (night of {worst[0].as_of}). A backfill or an old log always does; a feature counts "
            "as known from the plan on, never from the clock.</p>")


def validation(loaded: Loaded) -> str:
    """What was checked, in words; warnings first."""
    found = facts.steps(loaded)
    checks = [(step.table, check) for step in found for check in step.manifest.checks]
    warned = [(table, check) for table, check in checks if not check["passed"]]
    said = (f"{len(checks)} checks were made on {sum(bool(step.manifest.checks) for step in found)} tables; "
            f"{'all held' if not warned else f'{len(warned)} gave a warning'}. A failed check would have left no table "
            "and no release.")
    rows = [[_mono(table), escape(check["check"]), _number(check["observed"]), _bound(check["bound"]),
             "held" if check["passed"] else '<span class="warn">warning</span>', escape(check["why"])]
            for table, check in checks]
    return (f"<h2>Validation</h2><p>{said}</p>"
            + "".join(f'<p><span class="warn">Warning</span> {_mono(table)}: {escape(check["check"])} is '
                      f'{_number(check["observed"])}, expected {_bound(check["bound"])}. '
                      f'{escape(_sentence(check["why"]))}</p>' for table, check in warned)
            + ("<details><summary>Every check</summary>"
               + _table(["table", "what", "observed", "bound", "result", "why"], rows, right={2}) + "</details>"
               if rows else ""))


def lists(loaded: Loaded) -> str:
    """What the lists show: catalogue share, sources, popularity, freshness."""
    seen = facts.coverage(loaded)
    share = seen.shown_videos / max(seen.eligible_videos, 1)
    short = f" {seen.short_lists:,} lists have fewer than {loaded.release.k} rows." if seen.short_lists else ""
    return ("<h2>The lists</h2>"
            f"<p>{seen.users:,} lists with {seen.rows:,} rows show {seen.shown_videos:,} of {seen.eligible_videos:,} "
            f"videos that may be recommended, {share:.1%} of the catalogue.{short}</p>"
            "<div class='two'><div><h3>Where the rows came from</h3>"
            + bars([Bar(name, value, f"{value:.1%}") for name, value in seen.sources])
            + "</div><div><h3>Age of what is shown</h3>" + _key("rows of lists", "catalogue")
            + pairs([name for name, _ in seen.ages], [pair for _, pair in seen.ages])
            + "</div></div><h3>Popularity of what is shown</h3><p class='soft'>The catalogue in tenths, most played on "
            "the left: how much of the lists and how much of all plays each tenth has.</p>"
            + _key("rows of lists", "plays")
            + pairs(["top 10 %", *(f"{n}0 %" for n in range(2, 11))], seen.deciles, width=1040))


def log(loaded: Loaded) -> str:
    """What the log brought and what it lacked."""
    as_of = loaded.release.date
    counts, rows, lacking, reasons = facts.event_counts(as_of), [], [], {}
    for each in facts.landed(as_of):
        name = LOG_NAMES[each.table]
        refused = sum(each.quarantined.values())
        rows.append([name, f"{each.rows_in:,}", f"{each.rows:,}", f"{refused:,}", f"{each.duplicates:,}",
                     "assumed" if each.assumed else "in the log"])
        if each.lacks:
            lacking.append(f"<p>The {name} lacked {_words(each.lacks)}; the funnel trained on what there was.</p>")
        for reason, count in each.quarantined.items():
            reasons[reason] = reasons.get(reason, 0) + count
    late = counts["late_1"] + counts["late_more"]
    share = late / max(counts["rows_in"] - counts["duplicates"], 1)
    return ("<h2>The log</h2><p class='soft'>Everything landed in the landings that begin before this night.</p>"
            + _table(["file", "rows in", "kept", "quarantined", "same row twice", "arrival time"], rows,
                     right={1, 2, 3, 4})
            + "".join(lacking)
            + f"<p>{counts['duplicates']:,} events came more than once and count once"
            + (f", {counts['conflicts']:,} of them with other content the second time" if counts["conflicts"] else "")
            + f". {late:,} plays and impressions ({share:.1%}) arrived on a later day than they happened, "
            f"{counts['late_more']:,} of them two days or more; every night sees them from their arrival on.</p>"
            + ("<h3>Why rows are in quarantine</h3>" + bars([Bar(reason.replace("_", " "), count, f"{count:,}", False)
               for reason, count in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))]) if reasons else ""))


def people(loaded: Loaded) -> str:
    """Ten viewers, from the least to the most active: what they watched, what they get, and why."""
    known = People(loaded)
    return (f"<h2>{PEOPLE} viewers</h2><p class='soft'>Evenly spread from the least to the most active, the same ones "
            "for the same release. Left the last plays, right the list.</p>"
            + "".join(_person(known.person(original, PLAYS)) for original in known.sample(PEOPLE)))


def _person(person: Person) -> str:
    watched = [[f"{play.at:%Y-%m-%d}", escape(play.title) + (' <span class="like">♥</span>' if play.liked else "")]
               for play in person.history] or [["–", "no plays yet"]]
    rows = [[str(row.rank), f"{escape(row.title)}<br><span class='soft'>{_why(row)}</span>", f"{row.score:.3f}",
             escape(row.source)] for row in person.list[:ROWS]]
    country = f" · {escape(person.country)}" if person.country else ""
    own = "" if person.own else " · gets everyone's list"
    return (f"<div class='person'><h3>Viewer {escape(person.original_id)}{country} · {person.play_count:,} plays{own}"
            "</h3><div class='two'>" + _table(["watched", ""], watched)
            + _table(["", "recommended, and why", "score", "source"], rows, right={2}) + "</div></div>")


def _why(row: Recommended) -> str:
    return " · ".join(escape(each) for each in (row.reason, row.categories) if each)


def lineage(loaded: Loaded) -> str:
    """Which snapshots this release is, so that anyone can find or recompute them."""
    release = loaded.release
    rows = [[_mono(name), each.as_of, f"{each.rows:,}", _mono(each.identity), _mono(each.content_hash)]
            for name, each in release.snapshots.items() if each]
    inputs = [[_mono(name), _mono(value)] for name, value in loaded.manifests["recommendations"].inputs.items()]
    return ("<h2>Lineage</h2><p class='soft'>An identity says what a table was made from, a content hash what is in "
            f"it. Parent release: {release.parent or 'none'}. Code revision: "
            f"{escape(str(release.recorded.get('revision') or 'not recorded'))}. Published: "
            f"{escape(str(release.recorded.get('committed_at', '')))}.</p>"
            + _table(["table", "as_of", "rows", "identity", "content hash"], rows, right={2})
            + "<details><summary>What the lists were made from</summary>" + _table(["input", "content hash"], inputs)
            + "</details>")


def _tiles(pairs_: list[tuple[str, str]]) -> str:
    return '<div class="tiles">' + "".join(f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
                                           for name, value in pairs_) + "</div>"


def _table(head: list[str], rows: list[list[str]], right: set[int] = frozenset()) -> str:
    def cells(row: list[str], tag: str) -> str:
        return "".join(f'<{tag}{" class=r" if n in right else ""}>{cell}</{tag}>' for n, cell in enumerate(row))

    return ('<div class="wide"><table><thead><tr>' + cells(head, "th") + "</tr></thead><tbody>"
            + "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows) + "</tbody></table></div>")


def _key(accent: str, grey: str) -> str:
    return f'<p class="key"><i class="a"></i>{accent}<i class="n"></i>{grey}</p>'


def _mono(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.1f} s"


def _passed(checks: list[dict]) -> str:
    if not checks:
        return "–"
    warned = sum(not check["passed"] for check in checks)
    held = f"{len(checks) - warned} held"
    return f'{held}, <span class="warn">{warned} warned</span>' if warned else held


def _number(value: float | None) -> str:
    if value is None:
        return "missing"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:,.4g}"


def _bound(bound: list[float | None]) -> str:
    low, high = bound
    if low is not None and high is not None:
        return _number(low) if low == high else f"{_number(low)} to {_number(high)}"
    return f"at least {_number(low)}" if high is None else f"at most {_number(high)}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _words(names: list[str]) -> str:
    shown = [escape(name.replace("_", " ")) for name in names]
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def _long(delay: timedelta) -> str:
    if delay < timedelta(hours=1):
        return f"{delay.total_seconds() / 60:.0f} minutes"
    return f"{delay.total_seconds() / 3600:.1f} hours" if delay < timedelta(days=2) else f"{delay.days:,} days"
