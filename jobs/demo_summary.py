"""What there is after the demo, in one screen: release, tables, model and baselines, three people, where to look."""

from datetime import date

from jobs.show import history_lines, list_lines
from lake import lineage, numbered_log
from publishing import report
from publishing.live import Loaded, load_release
from publishing.people import People
from training import card

PEOPLE, PLAYS, ROWS = 3, 3, 5


def tell(night: date) -> None:
    """Print it for the live release; checks every file of it on the way."""
    loaded = load_release()
    for line in [*_release(loaded), *_model(night), *_people(loaded), *_where(loaded)]:
        print(line)


def _release(loaded: Loaded) -> list[str]:
    release = loaded.release
    head = f"\nLive: release {release.number} of {release.as_of}, lists of {release.k}, model {release.model}"
    tables = [(name, reference.rows) for name, reference in release.snapshots.items() if reference is not None]
    return [head, *(f"  {name:18} {rows:>10,} rows" for name, rows in tables if rows)]


def _model(night: date) -> list[str]:
    """The model of the night, or, where none has passed the gate, the newest that was judged; with its baselines."""
    promoted, judged = lineage.promoted(night), numbered_log.entries("promotions")
    if promoted is None and not judged:
        return ["\nModel: none was trained; the night published the best baseline, marked as such"]
    entry = promoted or judged[-1]
    version = entry["registered_version"] or "not in MLflow then"
    head = f"\nModel: version {version}, trained as of {entry['as_of']}, {entry['decision']}"
    return [f"{head}: {entry['reason']}", *(f"  {line}" for line in card.table(entry["judged"]))]


def _people(loaded: Loaded) -> list[str]:
    people, lines = People(loaded), []
    # Neither the idlest viewer nor the busiest: the ones between.
    for someone in people.sample(PEOPLE + 2)[1:-1]:
        person = people.person(someone, PLAYS)
        lines += ["", *history_lines(person), *list_lines(person, ROWS)]
    return lines


def _where(loaded: Loaded) -> list[str]:
    return [
        "",
        f"The report: {report.path_of(loaded.release)}",
        "python -m jobs.show --user ID   somebody else's list",
        "python -m jobs.releases         every release",
        "make ui                         Airflow and MLflow in a browser, with the password",
    ]
