"""Append-only logs: numbers without gaps or ties, rules that hold for what is written, damage named."""

import multiprocessing
from pathlib import Path

import pytest

from lake import numbered_log


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    return tmp_path


def test_entries_are_numbered_from_one(home):
    assert numbered_log.entries("blocks") == []
    made = [numbered_log.append("blocks", lambda before, n=n: {"n": n, "seen": before}) for n in range(3)]
    assert made == numbered_log.entries("blocks")
    assert [(entry["number"], entry["seen"]) for entry in made] == [(1, []), (2, [1]), (3, [1, 2])]
    assert sorted(path.stem for path in (home / "log/blocks").iterdir()) == ["000001", "000002", "000003"]


def test_releases_live_in_a_folder_of_their_own(home):
    numbered_log.append("releases", lambda _: {})
    assert (home / "releases/000001.json").exists()


def test_nothing_is_written_when_there_is_nothing_to_say(home):
    assert numbered_log.append("blocks", lambda _: None) is None
    assert numbered_log.numbers("blocks") == [] and not (home / "log").exists()


def test_who_loses_a_number_is_asked_again(home):
    """The rule that an entry obeys is checked against what exists when it is finally written."""
    asked = []

    def make(before: list[int]) -> dict | None:
        asked.append(before)
        if not before:
            numbered_log.append("landing", lambda _: {"who": "other"})
        return {"who": "me", "after": before}

    assert numbered_log.append("landing", make) == {"who": "me", "after": [1], "number": 2}
    assert asked == [[], [1]]
    assert [entry["who"] for entry in numbered_log.entries("landing")] == ["other", "me"]


def _append_ten(who: int) -> None:
    for _ in range(10):
        numbered_log.append("promotions", lambda before: {"who": who, "before": len(before)})


def test_many_writers_take_every_number_once():
    forked = multiprocessing.get_context("fork")
    writers = [forked.Process(target=_append_ten, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    entries = numbered_log.entries("promotions")
    assert [entry["number"] for entry in entries] == list(range(1, 41))
    assert all(entry["before"] == entry["number"] - 1 for entry in entries)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff"])
def test_damage_is_named(home, content):
    numbered_log.append("landing", lambda _: {})
    (home / "log/landing/000001.json").write_bytes(content)
    with pytest.raises(ValueError, match="000001.json"):
        numbered_log.entries("landing")


def test_other_files_are_no_entries(home):
    numbered_log.append("landing", lambda _: {})
    for name in ("000002.json.abc.tmp", "latest.json", "2.json", "000003.json~"):
        (home / "log/landing" / name).write_text("{}")
    assert numbered_log.numbers("landing") == [1]


def test_numbers_grow_past_six_digits(home):
    (home / "log/landing").mkdir(parents=True)
    (home / "log/landing/999999.json").write_text("{}")
    assert numbered_log.append("landing", lambda _: {})["number"] == 1_000_000
    assert numbered_log.append("landing", lambda _: {})["number"] == 1_000_001
