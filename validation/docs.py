"""Data Docs: GX's static site with the suites and the results of a night, in words, under data_docs/.

Built from what the gate kept, refused snapshots included, by the report job: building takes a second or two, which no
gate should wait for.
"""

import json
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from lake import storage
from lake.tables import TABLES
from validation import docs_pages, expectations, gate

SITE = "data_docs"
INDEX = f"{SITE}/index.html"


def results_of(as_ofs: list[date]) -> list[dict]:
    """What the gate kept of the snapshots of these dates."""
    found = []
    for as_of in as_ofs:
        folder = gate.results_folder(as_of.isoformat())
        found += [json.loads(storage.read_bytes(f"{folder}/{name}")) for name in storage.names(folder)
                  if name.endswith(".json")]
    return found


def build(as_ofs: list[date]) -> str:
    """Write the site of these dates and return the path of its first page, even where nothing was judged."""
    kept = sorted(results_of(as_ofs), key=lambda told: (told["as_of"], table_names().index(told["table"])))
    with tempfile.TemporaryDirectory() as folder:
        if kept:
            _render(kept, folder)
        found = {file.relative_to(folder).as_posix(): file for file in sorted(Path(folder).rglob("*.html"))}
        for name, file in found.items():
            storage.write_bytes(storage.join(SITE, name), docs_pages.alone(file.read_text()).encode())
        pages = {(told["table"], told["identity"]): name
                 for told in kept for name in found if name.endswith(f"/{_batch(told)}.html")}
    storage.write_bytes(storage.join(INDEX), docs_pages.first_page(kept, pages).encode())
    return storage.join(INDEX)


def table_names() -> list[str]:
    return [declared.name for declared in TABLES]


def _batch(told: dict) -> str:
    return f"{told['table']}-{told['identity'][:16]}"


def _render(kept: list[dict], folder: str) -> None:
    """GX writes a page per suite and per result into a local folder."""
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
    import great_expectations as gx
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    midnight = datetime.combine(date.fromisoformat(told["as_of"]), datetime.min.time(), UTC)
    key = ValidationResultIdentifier(ExpectationSuiteIdentifier(told["table"]),
                                     RunIdentifier(run_name=told["as_of"], run_time=midnight),
                                     _batch(told))
    verdict = {**told["verdict"], "meta": {"great_expectations_version": gx.__version__, "run_id": {
        "run_name": told["as_of"], "run_time": midnight.isoformat()}}}
    context.validation_results_store.set(key, expectationSuiteValidationResultSchema.load(verdict))

