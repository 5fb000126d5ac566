"""The nightly report: one self-contained HTML page per release, for people who were not there.

Sections come from report_sections; everything in them from the release, its manifests and the logs.
"""

from datetime import date
from html import escape

from lake import storage
from publishing import report_sections as sections
from publishing.live import Loaded, load_release
from publishing.release_file import Release, readable
from publishing.report_audit import audit
from publishing.report_style import CSS


def newest_of(as_of: date) -> Release | None:
    """The newest release of a date, live or not; None when none was made."""
    found = [release for release in readable() if release.date == as_of]
    return found[-1] if found else None


def path_of(release: Release) -> str:
    return storage.join("reports", f"{release.as_of}-{release.number:06d}.html")


def write(release: Release) -> str:
    """Write the page of a release and return its path. Damaged when the release is not whole."""
    path = path_of(release)
    storage.write_bytes(path, page(load_release(release.number)).encode())
    return path


def page(loaded: Loaded) -> str:
    """The whole page as HTML; it requests nothing."""
    release = loaded.release
    title = f"Nightreel, night of {release.as_of}, release {release.number}"
    body = "".join(part(loaded) for part in (
        sections.header, sections.steps, sections.validation, audit, sections.quality, sections.lists, sections.log,
        sections.people, sections.lineage))
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'; '
            'img-src data:"><link rel="icon" href="data:,">'
            f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main>{body}</main></body></html>")
