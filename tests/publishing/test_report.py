"""The report stands alone, tells what happened, and shows no markup that came with the data."""

import re
from dataclasses import replace

import pytest

from lake import numbered_log
from lake.snapshot import Damaged
from publishing import report, report_facts
from publishing import report_sections as sections
from publishing.live import load_release
from publishing.people import People
from publishing.release import publish
from publishing.release_file import KINDS
from publishing.rollback import rollback
from publishing.svg_charts import Estimate, dots, pairs, trend
from tests.publishing.conftest import VIDEOS, D, K, promote


def test_the_page_requests_nothing_and_escapes_titles(night):
    night(D[0])
    path = report.write(publish(D[0], K).release)
    page = open(path).read()
    assert path.endswith(f"reports/{D[0]}-000001.html")
    assert not re.findall(r"(?:src|href)=['\"]?(?!data:)\w|url\(|<script|@import", page)
    assert "Film 3 &lt;&amp;&gt;" in page and "<&>" not in page
    for said in ("The night of 2026-02-01", "No model has passed", "No training has been judged yet", "Viewer u0",
                 "many watch it", load_release().manifests["catalogue"].identity):
        assert said in page


def test_every_kind_of_release_has_its_page(night):
    night(D[0])
    publish(D[0], K)
    loaded = load_release()
    for kind in set(KINDS) - {"kept"}:
        assert "The night of" in sections.header(replace(loaded, release=replace(loaded.release, kind=kind)))


def test_quality_stands_beside_the_baselines_with_intervals(night):
    promote(D[0])
    numbered_log.append("promotions", lambda existing: {
        "as_of": D[1].isoformat(), "decision": "rejected", "reason": "not above popularity", "identity": "",
        "metrics": {}, "judged": {"ndcg@10": {"model": [0.14, 0.13, 0.15], "popular": 0.12}}})
    night(D[2])
    page = open(report.write(publish(D[2], K).release)).read()
    assert "was rejected: not above popularity" in page and "0.1400  [0.1300, 0.1500]" in page


def test_coverage_counts_what_readers_see(night):
    night(D[0])
    publish(D[0], K)
    seen = report_facts.coverage(load_release())
    assert (seen.users, seen.rows, seen.eligible_videos, seen.short_lists) == (4, 4 * K, VIDEOS, 0)
    assert seen.shown_videos == 8 and seen.sources == [("popular", 1.0)]
    assert sum(lists for lists, _ in seen.deciles) == pytest.approx(1)
    assert sum(plays for _, plays in seen.deciles) == pytest.approx(1)
    assert sum(lists for _, (lists, _) in seen.ages) == pytest.approx(1)


def test_a_late_night_is_counted_and_a_rollback_is_not(night):
    for day in D[:2]:
        night(day)
        publish(day, K)
    last = rollback()
    late = report_facts.late_nights(report_facts.published(last))
    assert [release.number for release, _ in late] == [1, 2]


def test_a_report_of_a_damaged_release_is_refused(night, home):
    night(D[0])
    release = publish(D[0], K).release
    (path,) = (home / "lake" / "recommendations" / f"as_of={D[0]}").glob("*/*")
    path.write_bytes(b"PAR1")
    with pytest.raises(Damaged, match=path.name):
        report.write(release)


def test_a_known_viewer_gets_the_own_list_and_a_stranger_everyones(night):
    night(D[0])
    publish(D[0], K)
    known = People(load_release())
    person, stranger = known.person("u2"), known.person("'; drop table users --\n")
    assert (person.own, person.country, person.play_count) == (True, "DE", 2)
    assert [play.title for play in person.history] == ["Film 12 <&>", "Film 11 <&>"]
    assert [row.video for row in person.list] == ["v2", "v3", "v4", "v5", "v6"]
    assert (stranger.own, stranger.history, len(stranger.list)) == (False, [], K)
    assert known.sample(10) == ["u0", "u1", "u2", "u3"]


@pytest.mark.parametrize("chart", [
    pairs([], []), pairs(["a"], [(0.0, 0.0)]), dots([("x", Estimate(0.0), True)]), trend([], {}, "x"),
    trend(["a"], {"x": [Estimate(1.0, 0.5, 1.5)], "y": [None]}, "x")])
def test_charts_of_almost_nothing_draw(chart):
    assert chart.startswith("<svg") and "nan" not in chart
