"""From the command line of jobs.land to the layouts of its tables, structure checked."""

from dataclasses import replace

from jobs.land_options import Request
from jobs.presets import PRESETS
from lake import sources
from lake.cells import How
from lake.layout import Layout, checked, require_no_drift
from lake.sources import Refused
from lake.tables import table

OPEN_PRESET = "nightreel"  # its optional columns may be absent; other presets are known to the last column


def layouts(request: Request) -> list[Layout]:
    """The files and how they map, the table of PATH first. Refused as lake.layout says; FileNotFoundError."""
    if request.preset:
        found = PRESETS[request.preset](request.path)
        return [checked(layout, set() if request.preset == OPEN_PRESET else set(layout.columns)) for layout in found]
    beside = {"videos": request.videos, "users": request.users}
    paths = {request.table: request.path, **{name: path for name, path in beside.items() if path is not None}}
    _require_known(request, list(paths))
    found = []
    for name, path in paths.items():
        layout, asked = _plain(name, path, request)
        layout = checked(layout, asked)
        require_no_drift(layout, request.ignore, request.without)
        found.append(layout)
    return found


def _require_known(request: Request, names: list[str]) -> None:
    for prefix, renamed in request.renamed.items():
        for ours in renamed:
            tables = [prefix] if prefix else names
            if not any(name in names and ours in table(f"raw_{name}").schema.names for name in tables):
                shown = f"{prefix}.{ours}" if prefix else ours
                raise Refused(f"--map {shown}: no table of this command has it; this command lands {', '.join(names)}")


def _plain(name: str, path: str, request: Request) -> tuple[Layout, set[str]]:
    """Columns with their declared names but for the renamed ones, and which of those must be there."""
    files = tuple(sources.find(path))
    declared = table(f"raw_{name}")
    there = sources.schema(files[0]).names if files else []
    main = name == request.table
    anywhere = {ours: theirs for ours, theirs in request.renamed.get("", {}).items() if ours in declared.schema.names
                and (main or theirs in there or ours not in table(f"raw_{request.table}").schema.names)}
    renamed = {**anywhere, **request.renamed.get(name, {})}
    columns = {column.name: renamed.get(column.name, column.name) for column in declared.columns}
    layout = Layout(declared.name, files, columns, How(time_unit=request.time_unit), arrival=_arrival(name, request))
    if layout.arrival == "assumed":
        del columns["arrived_at"]
    if name == "events" and request.one_type:
        del columns["event_type"]
        layout = replace(layout, constants={"event_type": request.one_type})
    return replace(layout, types=request.event_types if name == "events" else {}), set(renamed)


def _arrival(name: str, request: Request) -> str:
    if name == "events":
        return "assumed" if request.assumed else "log"
    return "either" if name != request.table or request.as_arrived else "log"
