"""From a conversion to snapshots and the one log entry that makes them a landing."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import pyarrow as pa

from jobs.land_options import Request
from lake import landing, sources, versions
from lake.columns import EVENT_TYPES
from lake.conversion import Conversion, Converted
from lake.hashing import canonical_json, digest, sha256_of
from lake.landing import Prepared
from lake.layout import Layout
from lake.scatter import Scatter
from lake.snapshot import Plan
from lake.sources import Refused
from lake.tables import table
from validation import gate
from validation.suites import FAIL, NULL_RISE, ROWS_TO_MEDIAN, WARN

Days = tuple[date, date]


@dataclass(frozen=True)
class Decided:
    """What decides the rows, known before they are read: parameters and inputs per table; `request` names it all."""

    request: str
    parameters: dict[str, dict]
    inputs: dict[str, dict]
    sources: list[dict]


def decide(found: list[Layout], request: Request) -> Decided:
    """Reads every file once, for its sha256."""
    hashes = {file.path: sources.sha256(file) for layout in found for file in layout.files}
    listed = [{"table": layout.table, "name": file.name, "sha256": hashes[file.path], "size": file.size}
              for layout in found for file in layout.files]
    asked = {layout.table: _settings(layout) for layout in found}
    through, day = (str(d) if d else None for d in (request.seal_through, request.as_arrived))
    parameters, inputs = {}, {}
    for layout in found:
        names = {layout.table, "raw_events"} if layout.arrival == "derived" else {layout.table}
        parameters[layout.table] = {"layout": {name: asked[name] for name in sorted(names & set(asked))}}
        if day:
            parameters[layout.table] |= {"as_arrived": day, "moved_from": [
                [str(a), str(b)] for name in sorted(names) for a, b in landing.sealed(name)]}
        shas = sorted(f"{file['table']} {file['sha256']}" for file in listed if file["table"] in names)
        inputs[layout.table] = {"sources": digest(shas)}
    contents = sorted([file["table"], file["sha256"]] for file in listed)
    return Decided(sha256_of(canonical_json([asked, day, through, contents])), parameters, inputs, listed)


def _settings(layout: Layout) -> dict:
    """What a layout decides, as it comes back from a manifest."""
    settings = {key: value for key, value in asdict(layout).items() if key not in ("files", "ignored")}
    return json.loads(canonical_json(settings))


@dataclass(frozen=True)
class Written:
    """One table of a landing whose files are written. `days` = [start, end); `dropped`: duplicates by kind."""

    prepared: Prepared
    days: Days
    part: Converted | None
    dropped: dict[str, int]


def days_of(part: Converted, through: date | None) -> Days | None:
    """[start, end) of the arrival days that a table's rows and --seal-through close; None for neither."""
    name, days = part.layout.table, part.arrivals
    if not days and through is None:
        return None
    if through and days and max(days) > through:
        raise Refused(f"{name}: rows arrive until {max(days)}, after --seal-through {through}; name a later day")
    start = min(days) if days else landing.first_open(name, through or date.max)
    return start, max([*days, *([through] if through else [])]) + timedelta(days=1)


def write(part: Converted, days: Days, decided: Decided, request: Request) -> Written:
    """Write one raw table's files. RuntimeError when rows were lost on the way."""
    declared, dropped = part.layout.declared, Counter(identical=0, conflicting=0)
    closed = landing.sealed(declared.name)

    def groups() -> Iterator[pa.Table]:
        for rows in part.rows.groups():
            if request.as_arrived:
                rows = landing.moved(declared, rows, request.as_arrived, closed)
            if declared.unique:
                rows, twice = versions.unique(declared, rows)
                dropped.update(twice)
            yield rows

    plan = Plan(declared.name, days[1], {"start": str(days[0]), **decided.parameters[declared.name]},
                decided.inputs[declared.name])
    prepared = landing.prepare(plan, groups())
    if prepared.existing:
        dropped = Counter(prepared.existing.extra["dropped"])
    if part.told != prepared.rows + sum(dropped.values()):
        landing.abandon([prepared])
        raise RuntimeError(f"{declared.name}: {part.told} rows told, {prepared.rows} written, {dropped} duplicates: "
                           "rows were lost, so nothing was landed; please report this")
    return Written(prepared, days, part, dict(dropped))


def write_beside(done: Conversion, days: Days, decided: Decided) -> list[Written]:
    """Write the string ids and the quarantine of a landing, where there are any."""
    strings = Scatter(table("ids"))
    strings.add(done.ids.table())
    found = []
    for name, rows in (("ids", strings), ("quarantine", done.quarantine)):
        if rows.rows:
            inputs = {"sources": digest(sorted(f"{f['table']} {f['sha256']}" for f in decided.sources))}
            parameters = {"start": str(days[0]), "layouts": sha256_of(canonical_json(decided.parameters))}
            if name == "quarantine":
                parameters["names"] = sorted(f"{f['sha256']} {f['name']}" for f in decided.sources)
            plan = Plan(name, days[1], parameters, inputs)
            found.append(Written(landing.prepare(plan, rows.groups()), days, None, {}))
    return found


def told(written: Written, checks: list[dict]) -> dict:
    """Commit one table's snapshot; what the landing's log entry says of it."""
    part = written.part
    arrivals = {str(day): count for day, count in sorted(part.arrivals.items())} if part else {}
    manifest = landing.finish(written.prepared, checks, {"arrivals": arrivals, "dropped": written.dropped})
    entry = {"table": manifest.table, "start": str(written.days[0]), "end": str(written.days[1]),
             "identity": manifest.identity, "content_hash": manifest.content_hash, "rows": manifest.rows}
    if part is None:
        return entry
    declared = part.layout.declared
    optional = [*(EVENT_TYPES if declared.name == "raw_events" else ()),
                *(column.name for column in declared.columns if column.nullable)]
    return {**entry, "rows_in": part.told + part.bad, "quarantined": dict(sorted(part.reasons.items())),
            "duplicates": sum(written.dropped.values()), "conflicting": written.dropped["conflicting"],
            "arrival": "log" if part.layout.arrival == "log" else "assumed", "columns": sorted(part.layout.columns),
            "ignored": list(part.layout.ignored), "lacks": [name for name in optional if name not in part.has]}


def judged(written: Written, accepted: frozenset[str]) -> list[dict]:
    """The verdict of the table's suite. Comparisons with earlier days that a person accepted are warnings, and a day
    that a person sealed without rows is accepted. Refused when another check of severity `fail` does not hold."""
    prepared = written.prepared
    if prepared.plan.table == "quarantine" or prepared.existing:
        return prepared.existing.checks if prepared.existing else []
    try:
        return gate.judge(prepared.plan, prepared.profile)
    except gate.Refused as error:
        accepted = accepted if prepared.rows else accepted | {ROWS_TO_MEDIAN}
        failed = {result["check"] for result in error.results if not result["passed"] and result["severity"] == FAIL}
        if failed <= accepted:
            return [{**result, "severity": WARN} if result["check"] in failed else result for result in error.results]
        odd = sorted(check for check in failed if check == ROWS_TO_MEDIAN or check.endswith(NULL_RISE))
        hint = f"\nIf the log is whole and that is how it was: --accept {' '.join(odd)}" if odd else ""
        raise Refused(f"{error}{hint}") from error


def commit(done: Conversion, decided: Decided, request: Request) -> dict | None:
    """Write, judge, and make everything exist with one log entry; None when another command landed the same."""
    spans = {part.layout.table: days_of(part, request.seal_through if n == 0 else None)
             for n, part in enumerate(done.parts)}
    if all(days is None for days in spans.values()):
        raise Refused(f"{sources.shown(request.path)} holds no rows; a day without rows is sealed with --seal-through")
    for name, days in spans.items():
        if days:
            landing.require_open(name, *days)
    written: list[Written] = []
    try:
        for part in done.parts:
            if days := spans[part.layout.table]:
                written.append(write(part, days, decided, request))
        whole = min(one.days[0] for one in written), max(one.days[1] for one in written)
        written += write_beside(done, whole, decided)
        verdicts = [judged(one, request.accept) for one in written]
    except BaseException:
        landing.abandon(one.prepared for one in written)
        raise
    tables = [told(one, checks) for one, checks in zip(written, verdicts, strict=True)]
    return landing.commit({"request": decided.request, "sources": decided.sources, "id_types": done.ids.types,
                           "tables": tables})
