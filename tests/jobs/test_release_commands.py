"""The commands around releases: exit codes and what they print."""

import sys

import pytest

from jobs import block, release, releases, report, rollback, show
from jobs.command import run
from tests.publishing.conftest import D, K, home, night  # noqa: F401


@pytest.fixture
def call(monkeypatch, capsys):
    def called(job, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [job.__name__, *arguments])
        try:
            code = run(job.main)
        except SystemExit as left:
            code = left.code
        captured = capsys.readouterr()
        return code, captured.out + captured.err
    return called


def test_a_life_of_releases(night, call):  # noqa: F811
    assert call(releases) == (0, "nothing was released yet; run: make night AS_OF=YYYY-MM-DD\n")
    code, said = call(show, "--user", "u1")
    assert code == 3 and "make night" in said
    for day in D[:2]:
        night(day)
        code, said = call(release, "--as-of", str(day), "--k", str(K))
        assert code == 0 and "is live; 20 rows for 4 users" in said
    assert "was live already" in call(release, "--as-of", str(D[1]), "--k", str(K))[1]
    code, said = call(show, "--user", "u1")
    assert code == 0 and "Film 11 <&>" in said and "many watch it" in said
    assert "everyone's list" in call(show, "--user", "nobody\n\x1b[2J")[1]
    assert call(block, "--video", "v1", "--reason", "rights")[0] == 0
    assert "v1" not in call(show, "--user", "u0")[1]
    code, said = call(rollback)
    assert code == 0 and "release 4 is live" in said
    code, said = call(release, "--as-of", str(D[1]), "--k", str(K))
    assert code == 3 and "jobs.rollback --to" in said
    code, said = call(releases)
    assert code == 0 and "*      4  rollback" in said and said.count("withdrawn") == 2


@pytest.mark.parametrize(("job", "arguments", "code"), [
    (release, ["--as-of", "2026-02-01;rm -rf /"], 2), (release, ["--as-of", "2026-02-01", "--k", "0"], 2),
    (release, ["--as-of", "../../etc"], 2), (rollback, ["--to", "1e9"], 2), (rollback, ["--to", "7"], 3),
    (rollback, ["--to-kept", "7"], 3), (block, ["--video", "v1", "--reason", "a\nb"], 2),
    (block, ["--video", "$(reboot)", "--reason", "x"], 3), (show, ["--user", "u1", "--release", "99"], 3),
    (report, ["--as-of", "2026-02-09"], 3)])
def test_hostile_arguments_are_refused_and_change_nothing(night, home, call, job, arguments, code):  # noqa: F811
    night(D[0])
    call(release, "--as-of", str(D[0]), "--k", str(K))
    before = sorted(path for path in home.rglob("*"))
    assert call(job, *arguments)[0] == code
    assert sorted(path for path in home.rglob("*")) == before


def test_a_night_that_was_kept_is_no_failure_of_its_report(night, home, call):  # noqa: F811
    for day in D[1::-1]:
        night(day)
        assert call(release, "--as-of", str(day), "--k", str(K))[0] == 0
    code, said = call(report, "--as-of", str(D[0]))
    assert code == 0 and "kept, not live, so without a page" in said and not list(home.glob("reports/*.html"))
    assert call(rollback, "--to-kept", "1")[0] == 0
    assert call(report, "--as-of", str(D[0]))[0] == 0 and len(list(home.glob("reports/*.html"))) == 1
