"""Data Docs: in words, of every judged table, refused ones too, and without a request to anyone."""

import re
from pathlib import Path

import pytest

from tests.validation.test_gate import AS_OF, healthy, home, plan_of  # noqa: F401
from validation import docs, gate


def test_the_site_says_what_was_checked_and_requests_nothing(tmp_path):
    gate.judge(plan_of("catalogue"), healthy("catalogue"))
    with pytest.raises(gate.Refused):
        gate.judge(plan_of("events"), {**healthy("events"), "duplicate_keys": 3})
    index = Path(docs.build([AS_OF]))
    assert "refused" in index.read_text() and "catalogue" in index.read_text()
    pages = sorted(index.parent.rglob("*.html"))
    assert len(pages) == 5
    for page in pages:
        assert not re.findall(r"<script|<img|<link|url\(http", page.read_text()), page
    result = next(page for page in pages if page.name.startswith("events-")).read_text()
    assert "a second one would count twice" in result and "AS_OF" not in result
    for link in re.findall(r'href="([^"]+)"', index.read_text()):
        assert (index.parent / link).is_file()


def test_a_night_without_checks_has_a_page_that_says_so():
    assert "Nothing was judged" in Path(docs.build([AS_OF])).read_text()
