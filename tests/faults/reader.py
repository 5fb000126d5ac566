"""A reader that never stops: loads the live release of a home again and again and looks whether it is whole.

    python -m tests.faults.reader PARENT       PARENT/current names the home; ends with PARENT/stop, telling PARENT/told
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publishing.live import load_release


def look(home: str, before: dict[str, int]) -> str:
    """What is wrong with the live release of a home; empty when it is whole and not older than the one before it."""
    os.environ["NIGHTREEL_HOME"] = home
    release = load_release()
    rows = release.recommendations()
    told = release.release
    if rows.num_rows != told.counts["rows"]:
        return f"release {told.number} of {home} has {rows.num_rows} rows, it says {told.counts['rows']}"
    if told.number < before.get(home, 0):
        return f"release {told.number} of {home} after {before[home]}"
    before[home] = told.number
    return ""


def main(parent: Path) -> None:
    looks, wrong, before = 0, [], {}
    while not (parent / "stop").exists():
        home = (parent / "current").read_text() if (parent / "current").exists() else ""
        try:
            fault = look(home, before) if home else ""
        except Exception:
            fault = traceback.format_exc()
        looks += bool(home)
        wrong += [fault] if fault else []
    (parent / "told").write_text(json.dumps({"looks": looks, "wrong": wrong[:10]}))


@contextmanager
def readers(parent: Path, count: int = 1) -> Iterator[dict]:
    """Readers looping beside the block; what they saw is in the dict afterwards. AssertionError when one saw less than
    a whole release."""
    told: dict = {"looks": 0}
    folders = [parent / f"reader{n}" for n in range(count)]
    for folder in folders:
        folder.mkdir()
        (folder / "current").symlink_to(parent / "current")
    running = [subprocess.Popen([sys.executable, "-m", "tests.faults.reader", folder],
                                cwd=Path(__file__).resolve().parents[2]) for folder in folders]
    try:
        yield told
    finally:
        for folder in folders:
            (folder / "stop").touch()
        for each in running:
            each.wait(60)
    for folder in folders:
        seen = json.loads((folder / "told").read_text())
        assert not seen["wrong"], "\n".join(seen["wrong"])
        told["looks"] += seen["looks"]


def show(parent: Path, home: Path) -> None:
    """Point the readers at a home."""
    (parent / "next").write_text(str(home))
    (parent / "next").rename(parent / "current")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
