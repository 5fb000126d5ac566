"""The audit finds nothing in a clean night and names the view and column of a planted leak."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks import leak_zoo
from benchmarks.leaks import LEAKS
from jobs import audit, audit_worlds, build, recommendations, training_tables
from jobs.small_lake import environment
from jobs.spark_context import IN_PROCESS
from lake import lineage, snapshot
from lake.dates import midnight_us
from lake.refusal import Refusal
from lake.tables import table
from tests import world
from validation.differences import Difference, of_rows
from validation.poison import Records, microseconds, poisoned

DAY = leak_zoo.NIGHT
PLANTED = {"arrival ignored": "feature_snapshots", "late correction applied back": "training_examples"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leak_zoo, "USERS", 24)
        leak_zoo.make_world(str(folder), 5)
    with environment(NIGHTREEL_HOME=f"{folder}/var", SPARK_MASTER=IN_PROCESS):
        training_tables.main(["--as-of", str(DAY)])
        build.main([*leak_zoo.TABLES, "--as-of", str(DAY)])
        recommendations.main(["--as-of", str(DAY)])
        yield folder / "var"


@pytest.fixture
def restored() -> Iterator[None]:
    """Functions of every leak as they were, whatever a test planted."""
    found = {patch: getattr(leak_zoo.import_module(patch.module), patch.function) for leak in LEAKS
             for patch in leak.patches}
    codes = {patch: function.__code__ for patch, function in found.items()}
    yield
    for patch, function in found.items():
        function.__code__ = codes[patch]


def test_a_clean_night_and_a_clean_training_pass(lake: Path) -> None:
    audit.main(["--as-of", str(DAY)])
    audit.main(["--as-of", str(DAY), "--training"])
    assert len(list(Path(lake, "audits").iterdir())) == 2


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_leak_is_named(name: str, lake: Path, restored: None) -> None:
    leak = next(leak for leak in LEAKS if leak.name == name)
    leak_zoo.plant(leak)
    with pytest.raises(Refusal, match=rf"cut .*{PLANTED[name]}"):
        audit.main(["--as-of", str(DAY)])


def test_what_is_served_is_compared_with_the_log(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = snapshot.read

    def one_more(manifest: snapshot.Manifest, *rest: object, **named: object) -> pa.Table:
        rows = stored(manifest, *rest, **named)
        if manifest.table != "feature_snapshots" or not manifest.folder.startswith(str(lake)):
            return rows
        more = rows["like_count_7d"].to_numpy() + 1
        return rows.set_column(rows.schema.get_field_index("like_count_7d"), "like_count_7d", pa.array(more))

    monkeypatch.setattr(snapshot, "read", one_more)
    with pytest.raises(Refusal, match=r"skew: feature_snapshots\[.*like_count_7d"):
        audit.main(["--as-of", str(DAY)])


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_every_leak_still_fits_its_stage(leak: object, restored: None) -> None:
    leak_zoo.plant(leak)


@pytest.mark.parametrize("seed", range(1, 9))
def test_poison_changes_the_future_and_nothing_else(seed: int) -> None:
    events, videos = world.events(seed), world.videos(seed)
    users = table("raw_users").schema.empty_table()
    cut = midnight_us(date(2026, 1, 20)) + seed
    before = Records(events, videos, users, table("ids").schema.empty_table())
    spared = int(events["event_id"][int(np.argmax(microseconds(events, "arrived_at")))].as_py())
    after = poisoned(before, cut, spared)
    for name in ("events", "videos"):
        old, new = (getattr(records, name) for records in (before, after))
        past = [rows.filter(pa.array(microseconds(rows, "arrived_at") < cut)) for rows in (old, new)]
        assert past[0].equals(past[1]) and past[0].num_rows < new.num_rows
    assert after.events["event_id"].to_pylist().count(spared) >= 1
    assert (microseconds(after.events, "event_time") <= microseconds(after.events, "arrived_at")).all()
    assert poisoned(before, cut, spared).events.equals(after.events)


def test_a_sample_is_whole_users(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_worlds, "EVENTS", 2_000)
    records = audit_worlds.sample(DAY)
    every = pa.concat_tables([snapshot.read(chunk) for chunk in lineage.chunks("events", DAY)])
    theirs = np.isin(every["user_id"].to_numpy(), records.events["user_id"].to_numpy())
    assert records.events.num_rows == theirs.sum() >= 2_000 > theirs.sum() - 1_000


def test_differences_name_view_and_column_and_no_person() -> None:
    one = {("user", 4711, ""): {"a": 1, "b": 1.0}, ("user", 4712, ""): {"a": 1, "b": 1.0}}
    other = {("user", 4711, ""): {"a": 2, "b": 1.0 + 1e-13}, ("video", 9, ""): {"a": 1, "b": 1.0}}
    found = of_rows("features", one, other, ["a", "b"])
    assert found == [Difference("features[user]", "", 1), Difference("features[user]", "a", 1),
                     Difference("features[video]", "", 1)]
    assert "4711" not in " ".join(map(str, found))
