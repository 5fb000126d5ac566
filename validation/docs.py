"""Data Docs: GX's static site with the suites and the results of a night, in words, under data_docs/.

Built from what the gate kept, refused snapshots included, by the report job: building takes a second or two, which no
gate should wait for.
"""

import json
import posixpath
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lake import storage
from validation import expectations, gate

SITE = "data_docs"
INDEX = f"{SITE}/index.html"


def results_of(as_of: date, days: int = 1) -> list[dict]:
    """What the gate kept of the snapshots of `days` dates that end with as_of, oldest first."""
    found = []
    for back in range(days - 1, -1, -1):
        folder = gate.results_folder((as_of - timedelta(days=back)).isoformat())
        found += [json.loads(storage.read_bytes(f"{folder}/{name}")) for name in storage.names(folder)
                  if name.endswith(".json")]
    return found


def build(as_of: date, days: int = 1) -> str:
    """Write the site and return the path of its first page. ValueError when the gate judged nothing on those dates."""
    kept = results_of(as_of, days)
    if not kept:
        raise ValueError(f"nothing was validated as of {as_of}; run: make night AS_OF={as_of}")
    with tempfile.TemporaryDirectory() as folder:
        _render(kept, folder)
        for file in sorted(Path(folder).rglob("*")):
            if file.is_file():
                _publish(file, storage.join(SITE, file.relative_to(folder).as_posix()))
    return storage.join(INDEX)


def _render(kept: list[dict], folder: str) -> None:
    context = expectations.new_context()
    context.add_data_docs_site("nightreel", {
        "class_name": "SiteBuilder", "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": folder},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder", "show_cta_footer": False}})
    for told in {told["table"]: told for told in kept}.values():
        context.suites.add(_suite(told))
    for told in kept:
        _add_result(context, told)
    context.build_data_docs(["nightreel"])


def _suite(told: dict):
    import great_expectations as gx

    return gx.ExpectationSuite(name=told["table"], expectations=[
        {**result["expectation_config"], "kwargs": {**result["expectation_config"]["kwargs"], "batch_id": None}}
        for result in told["verdict"]["results"]])


def _add_result(context: object, told: dict) -> None:
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    midnight = datetime.combine(date.fromisoformat(told["as_of"]), datetime.min.time(), UTC)
    key = ValidationResultIdentifier(ExpectationSuiteIdentifier(told["table"]),
                                     RunIdentifier(run_name=told["as_of"], run_time=midnight),
                                     f"{told['table']}-{told['identity'][:16]}")
    context.validation_results_store.set(key, expectationSuiteValidationResultSchema.load(told["verdict"]))


def _publish(file: Path, path: str) -> None:
    storage.make_folder(posixpath.dirname(path))
    storage.write_bytes(path, file.read_bytes())
