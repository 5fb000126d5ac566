"""Land a log: check it, seal its arrival days, keep what can't be true in quarantine.

    python -m jobs.land PATH [--table events|videos|users] [--videos PATH] [--users PATH]
    python -m jobs.land --preset movielens|kuairand|nightreel FOLDER

Exit codes: 0 landed, or the same files were landed before; 2 bad arguments; 3 the data was refused, and nothing changed.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from jobs.land_options import Request, parse
from jobs.presets import PRESETS, plain
from lake import contract, conversion, dates, identities, landing, sources, versions
from lake.cells import How
from lake.columns import EVENT_TYPES
from lake.conversion import Converted, FirstArrivals
from lake.hashing import canonical_json, digest, sha256_of
from lake.identities import Identities, StartAgain
from lake.layout import Layout, checked
from lake.scatter import Scatter
from lake.snapshot import Manifest, Plan
from lake.sources import Refused
from lake.tables import table

BAD_ROWS_ALLOWED = 100


@dataclass(frozen=True)
class Landed:
    """All that one command read."""

    parts: list[Converted]
    quarantine: Scatter
    ids: Identities


def layouts(request: Request) -> list[Layout]:
    """The files and how they map, events first, structure checked."""
    if request.preset:
        return [checked(layout, frozenset(layout.columns)) for layout in PRESETS[request.preset](request.path)]
    how = How(time_unit=request.time_unit)
    paths = [(request.table, request.path), ("videos", request.videos), ("users", request.users)]
    found = []
    for name, path in paths:
        if path is None:
            continue
        renamed = {**request.renamed.get("", {}), **request.renamed.get(name, {})}
        arrival = "assumed" if name == "events" and request.assumed else "log"
        layout = plain(f"raw_{name}", path, renamed, how, arrival)
        found.append(checked(layout, frozenset(renamed)))
    return found


def convert(parts: list[Layout], request: Request) -> Landed:
    """Read everything, again from the start when ids that looked like integers turn out to be strings."""
    ids = identities.of_earlier_landings()
    while True:
        try:
            return _convert(parts, request, ids)
        except StartAgain as found:
            ids = identities.of_earlier_landings()
            ids.types[found.kind] = "string"


def _convert(layouts_: list[Layout], request: Request, ids: Identities) -> Landed:
    quarantine = Scatter(table("quarantine"))
    first = {"video_id": FirstArrivals(), "user_id": FirstArrivals()}
    parts: list[Converted] = []
    for layout in layouts_:
        part = Converted(layout, Scatter(layout.declared))
        parts.append(part)
        for file, start, source, rows, verdict in conversion.typed_batches(layout, ids):
            part.read += source.num_rows
            good = verdict < 0
            if not good.all():
                quarantine.add(conversion.quarantined(file, start, source, verdict))
                codes, counts = np.unique(verdict[~good], return_counts=True)
                part.reasons.update({contract.REASONS[c]: int(n) for c, n in zip(codes, counts, strict=True)})
                rows = rows.filter(pa.array(good))
            part.good += rows.num_rows
            rows = conversion.expanded(layout, rows)
            if layout.arrival == "derived":
                rows = _with_arrival(rows, first[layout.declared.bucket_by], parts, request)
            effective = _effective(layout.table, rows, request)
            if layout.table == "raw_events":
                for name, arrivals in first.items():
                    arrivals.add(rows[name].to_numpy(), effective)
            conversion.add(part, rows, effective)
        for file in layout.files:
            sources.require_unchanged(file)
    return Landed(parts, quarantine, ids)


def _with_arrival(rows: pa.Table, first: FirstArrivals, parts: list[Converted], request: Request) -> pa.Table:
    """Rows that do not say when they arrived: with the first event on them, else on the landing's last day."""
    days = parts[0].arrivals
    otherwise = dates.midnight_us(request.as_arrived) if not days and request.as_arrived else \
        max(days, default=0) * dates.DAY_US
    arrived = first.of(rows[parts[-1].layout.declared.bucket_by].to_numpy(), otherwise)
    return rows.append_column("arrived_at", pa.array(arrived, table("raw_videos").schema.field("arrived_at").type))


def _effective(name: str, rows: pa.Table, request: Request) -> np.ndarray:
    """When rows count as arrived: their own time, or the midnight of --as-arrived for those of sealed days."""
    arrived = rows["arrived_at"].cast(pa.int64()).to_numpy()
    if request.as_arrived is None:
        return arrived
    return np.where(landing.closed_mask(name, arrived), dates.midnight_us(request.as_arrived), arrived)


def require_few_bad(landed: Landed, request: Request) -> None:
    """Refused when too many rows of a table can't be true."""
    for part in landed.parts:
        if part.bad >= BAD_ROWS_ALLOWED and part.bad > request.max_bad_share * part.read:
            raise Refused(f"{part.layout.table}: {part.bad:,} of {part.read:,} rows can't be true "
                          f"({_reasons(part)}); the bound is {request.max_bad_share:.2%} from {BAD_ROWS_ALLOWED} bad rows "
                          "on. Look at the log, or raise --max-bad-share")


def _reasons(part: Converted) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in part.reasons.most_common())


def day_range(part: Converted, request: Request) -> tuple[date, date] | None:
    """[start, end) of the arrival days that a table's rows and --seal-through close; None for no rows and no day."""
    days = [dates.day_of_us(day * dates.DAY_US) for day in part.arrivals]
    name = part.layout.table
    through = request.seal_through if name == f"raw_{request.table}" else None
    if not days and through is None:
        return None
    start = min(days) if days else landing.first_open(name, through)
    end = max([day + timedelta(days=1) for day in [*days, *([through] if through else [])]])
    if through and end > through + timedelta(days=1):
        raise Refused(f"{name}: rows arrive until {max(days)}, after --seal-through {through}; leave it out")
    return start, end


def write_table(part: Converted, span: tuple[date, date], decided: dict, request: Request) -> dict:
    """Commit the snapshot of one raw table; returns what the log entry says of it. RuntimeError when rows are missing
    afterwards."""
    declared = part.layout.declared
    plan = Plan(declared.name, span[1], {"start": span[0].isoformat(), **decided["parameters"]}, decided["inputs"])
    dropped = {"identical": 0, "conflicting": 0}

    def groups() -> Iterator[pa.Table]:
        for rows in part.rows.groups():
            rows = landing.moved(declared, rows, request.as_arrived) if request.as_arrived else rows
            if declared.unique:
                rows, identical, conflicting = versions.unique(declared, rows)
                dropped["identical"] += identical
                dropped["conflicting"] += conflicting
            yield rows

    arrivals = {dates.day_of_us(day * dates.DAY_US).isoformat(): n for day, n in sorted(part.arrivals.items())}
    checks = [{"check": "rows in = rows + quarantined + duplicates", "passed": True}]
    manifest = landing.write(plan, groups(), checks, {"arrivals": arrivals, "dropped": dropped})
    duplicates = manifest.extra["dropped"]
    if part.read != part.good + part.bad or part.told != manifest.rows + sum(duplicates.values()):
        raise RuntimeError(f"{declared.name}: {part.read} rows read, {part.good} good, {part.bad} quarantined; {part.told} "
                           f"told, {manifest.rows} written, {duplicates} duplicates: rows were lost; nothing was landed")
    return _told(part, manifest, span)


def _told(part: Converted, manifest: Manifest, span: tuple[date, date]) -> dict:
    optional = [column.name for column in part.layout.declared.columns if column.nullable]
    if part.layout.table == "raw_events":
        optional = [*EVENT_TYPES, *optional]
    return {"table": part.layout.table, "start": span[0].isoformat(), "end": span[1].isoformat(),
            "identity": manifest.identity, "content_hash": manifest.content_hash, "rows_in": part.told + part.bad,
            "rows": manifest.rows, "quarantined": dict(sorted(part.reasons.items())),
            "duplicates": sum(manifest.extra["dropped"].values()),
            "conflicting": manifest.extra["dropped"]["conflicting"],
            "arrival": "log" if part.layout.arrival == "log" else "assumed",
            "columns": sorted(part.layout.columns), "ignored": list(part.layout.ignored),
            "lacks": [name for name in optional if name not in part.has]}


def settings(parts: list[Layout], request: Request, hashes: dict[str, str]) -> dict:
    """What decides the rows: parameters and inputs of every snapshot of this landing, and the request's own hash."""
    asked = {layout.table: {**{key: value for key, value in asdict(layout).items() if key not in ("files", "ignored")}}
             for layout in parts}
    day = request.as_arrived.isoformat() if request.as_arrived else None
    parameters = {"layouts": sha256_of(canonical_json(asked)), "as_arrived": day}
    if day:
        parameters["moved"] = [[str(a), str(b)] for layout in parts for a, b in landing.sealed(layout.table)]
    files = [[layout.table, hashes[file.path]] for layout in parts for file in layout.files]
    through = request.seal_through.isoformat() if request.seal_through else None
    return {"parameters": parameters, "inputs": {"sources": digest(sorted(f"{name} {sha}" for name, sha in files))},
            "request": sha256_of(canonical_json([asked, day, through, sorted(files)]))}


def land(request: Request) -> int:
    started = time.monotonic()
    parts = layouts(request)
    hashes = {file.path: sources.sha256(file) for layout in parts for file in layout.files}
    decided = settings(parts, request, hashes)
    before = landing.find(decided["request"])
    if before:
        return _already(before)
    landed = convert(parts, request)
    require_few_bad(landed, request)
    spans = {part.layout.table: day_range(part, request) for part in landed.parts}
    if spans[f"raw_{request.table}"] is None:
        raise Refused(f"{request.path[:100]!r} holds no rows; an arrival day without rows is sealed by --seal-through DAY")
    for name, span in spans.items():
        if span:
            landing.require_open(name, *span)
    told = [write_table(part, spans[part.layout.table], decided, request)
            for part in landed.parts if spans[part.layout.table]]
    end = max(date.fromisoformat(entry["end"]) for entry in told)
    start = min(date.fromisoformat(entry["start"]) for entry in told)
    told += write_beside(landed, (start, end), decided)
    listed = [{"table": layout.table, "name": file.name, "sha256": hashes[file.path], "size": file.size}
              for layout in parts for file in layout.files]
    entry = landing.commit({"request": decided["request"], "sources": listed, "id_types": landed.ids.types, "tables": told})
    if entry is None:
        return _already(landing.find(decided["request"]) or {})
    for part in landed.parts:
        _print(part, told, time.monotonic() - started)
    return 0


def write_beside(landed: Landed, span: tuple[date, date], decided: dict) -> list[dict]:
    """The quarantine and the string ids of a landing, where there are any."""
    found = []
    strings = Scatter(table("ids"))
    strings.add(landed.ids.table().cast(table("ids").schema))
    for name, rows in (("ids", strings), ("quarantine", landed.quarantine)):
        if rows.rows:
            names = sorted(file.name for part in landed.parts for file in part.layout.files)
            plan = Plan(name, span[1], {"start": span[0].isoformat(), "names": names, **decided["parameters"]},
                        decided["inputs"])
            manifest = landing.write(plan, rows.groups(), [], {})
            found.append({"table": name, "start": span[0].isoformat(), "end": span[1].isoformat(),
                          "identity": manifest.identity, "content_hash": manifest.content_hash, "rows": manifest.rows})
    return found


def _already(entry: dict) -> int:
    for told in entry["tables"]:
        if told["table"].startswith("raw_"):
            print(f"land {told['table']}: already landed as entry {entry['number']} ({told['rows']:,} rows, sealed "
                  f"{landing.named_days(date.fromisoformat(told['start']), date.fromisoformat(told['end']))}); nothing changed")
    return 0


def _print(part: Converted, told: list[dict], seconds: float) -> None:
    entry = next((entry for entry in told if entry["table"] == part.layout.table), None)
    if entry is None:
        return
    days = landing.named_days(date.fromisoformat(entry["start"]), date.fromisoformat(entry["end"]))
    kept = f", {entry['duplicates']:,} duplicates ({entry['conflicting']:,} conflicting)" if entry["duplicates"] else ""
    bad = f", {part.bad:,} quarantined ({_reasons(part)})" if part.bad else ""
    print(f"land {entry['table']}: {part.read:,} rows read, {entry['rows']:,} landed{kept}{bad}, sealed {days}, "
          f"{seconds:.1f} s", flush=True)


def main(argv: list[str] | None = None) -> int:
    try:
        return land(parse(sys.argv[1:] if argv is None else argv))
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 3
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
