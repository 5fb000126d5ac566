"""A whole training: what is planted is learned, noise is not, and everything is recorded once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from funnel.neighbours import NeighbourRules
from funnel.night import BASELINES, Night, Users, load_histories, load_night
from jobs import train
from lake import lineage, numbered_log, snapshot
from lake.hashing import sha256_of
from lake.refusal import Refusal
from tests.training import planted
from tests.training.conftest import TRAIN
from training import bundle, evaluation, fitting, judging, label_lists, lists, model_file, needs, registry, session
from training.label_days import LabelDays


@pytest.fixture
def learned(planted_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setenv("NIGHTREEL_HOME", str(planted_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return numbered_log.entries("promotions")[0]


@pytest.fixture
def noise(shuffled_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.setenv("NIGHTREEL_HOME", str(shuffled_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return numbered_log.entries("promotions")[0]


def test_planted_structure_is_learned(learned: dict) -> None:
    ndcg = learned["judged"]["ndcg@10"]
    assert learned["decision"] == "promoted" and learned["judged"]["users"] >= 200
    assert all(ndcg["model"]["value"] >= 3 * ndcg[name]["value"] for name in BASELINES)


def test_lists_know_what_their_night_knew(learned: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every list the ranker learns from, as it is asked for: nothing from its night on is known of others, and of the
    user what came before the answer; answers are all that came later."""
    material, days = fitting.load(planted.AS_OF), LabelDays(planted.HELD_OUT)
    model = bundle.load(snapshot.find(needs.plan(planted.AS_OF)))
    asked, read, make, live = [], [], lists.make, label_lists.with_features

    def watched(night: Night, cut: Users, plays: lists.Plays, *rest: object) -> lists.ListExamples:
        asked.append((night, cut, plays))
        return make(night, cut, plays, *rest)

    def with_features(cut: Users, manifest: snapshot.Manifest) -> Users:
        read.append(manifest.as_of)
        return live(cut, manifest)

    monkeypatch.setattr(lists, "make", watched)
    monkeypatch.setattr(label_lists, "with_features", with_features)
    monkeypatch.setattr(label_lists, "FEWEST_LISTS", 100_000)  # so that no night has enough of them before its fourth sitting
    monkeypatch.setattr(label_lists, "MOST_LISTS", 100_000)
    made = label_lists.make(material.night, material.users, days, model.retrieval, 1, model.neighbours)
    assert len(asked) == 4 * (1 + label_lists.SITTINGS) and len(made.user_ids) > 300
    assert [night.as_of for night, *_ in asked[::1 + label_lists.SITTINGS]] == days.nights(planted.AS_OF)
    assert read == [night.as_of for night, *_ in asked], "features are those of the list's own midnight"
    for number, (night, cut, plays) in enumerate(asked):
        before = np.bincount(material.night.index_of(cut.video_ids[cut.event_us < night.as_of_us]), minlength=night.size)
        assert np.array_equal(night.popularity["all"], before) or number % (1 + label_lists.SITTINGS)
        assert night.popularity["all"].sum() == (material.users.event_us < night.as_of_us).sum()
        knows, answers = np.diff(cut.offsets), np.diff(plays.offsets)
        latest = cut.event_us[np.maximum(cut.offsets[1:] - 1, 0)]
        in_sitting = number % (1 + label_lists.SITTINGS) and answers > 0
        assert (latest < np.where(in_sitting, cut.asked_us, night.as_of_us))[knows > 0].all()
        assert (knows + answers == np.diff(material.users.offsets))[answers > 0].all()


@pytest.mark.parametrize(("most", "fewest"), [(80, 0), (80, 80), (800, 100), (10_000, 0)])
def test_sittings_are_as_many_as_lists_of_their_night(learned: dict, monkeypatch: pytest.MonkeyPatch, most: int,
                                                      fewest: int) -> None:
    """Or what these lack of the fewest; and they are not cut again once they are."""
    material, days = fitting.load(planted.AS_OF), LabelDays(planted.HELD_OUT)
    model, together, parts = bundle.load(snapshot.find(needs.plan(planted.AS_OF))), lists.together, []
    sittings: list[int] = []
    monkeypatch.setattr(label_lists, "MOST_LISTS", most)
    monkeypatch.setattr(label_lists, "FEWEST_LISTS", fewest)
    some = lists.some
    monkeypatch.setattr(lists, "some", lambda *told: sittings.append(id(drawn := some(*told))) or drawn)
    monkeypatch.setattr(lists, "together", lambda made: parts.extend(made) or together(made))
    found = label_lists.make(material.night, material.users, days, model.retrieval, 1, model.neighbours)
    nights = [place for place, part in enumerate(parts) if id(part) not in sittings]
    assert len(nights) == 4 and found.size <= most
    for start, end in zip(nights, [*nights[1:], len(parts)], strict=True):
        of_night, of_sittings = parts[start].size, [part.size for part in parts[start + 1:end]]
        wanted = min(max(of_night, fewest // 4 - of_night), most // 8)
        assert sum(of_sittings) == wanted or len(of_sittings) == label_lists.SITTINGS and sum(of_sittings) < wanted
        assert sum(of_sittings[:-1]) < wanted


def test_judged_lists_ask_by_the_rules_of_their_model(learned: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    rules, asked, make = NeighbourRules(ridge=100.0, lately_fade=0.9), [], evaluation.neighbours
    model = replace(bundle.load(snapshot.find(needs.plan(planted.AS_OF))), neighbours=rules)
    monkeypatch.setattr(evaluation, "neighbours", lambda night, users, by: asked.append(by) or make(night, users, by))
    judging.lists(fitting.load(planted.AS_OF), model)
    assert asked == [rules]


def test_noise_is_not_learned(noise: dict) -> None:
    """The upper bound catches leaks into the evaluation: there is nothing to know beyond popularity."""
    ndcg = noise["judged"]["ndcg@10"]
    best = max(ndcg[name]["value"] for name in BASELINES)
    assert noise["decision"] == "rejected" and ndcg["model"]["value"] < 1.3 * best
    assert lineage.model_of(planted.AS_OF) is None
    with pytest.raises(model_file.Outdated, match="never refitted"):
        bundle.load(snapshot.find(needs.plan(planted.AS_OF)))


def test_a_training_without_mlflow_is_whole_and_is_registered_by_the_next_run(learned: dict) -> None:
    assert learned["registered_version"] is None, "MLflow was down"
    for _ in range(2):
        train.main(TRAIN)
    with registry._client() as client:
        versions = client.search_model_versions(f"name = '{registry.MODEL}'")
        aliases = dict(client.get_registered_model(registry.MODEL).aliases)
        run = client.get_run(versions[0].run_id)
        history = client.get_metric_history(versions[0].run_id, "retrieval/loss")
        artifacts = {file.path for file in client.list_artifacts(versions[0].run_id, "model")}
    assert [version.tags["training_identity"] for version in versions] == [learned["identity"]]
    assert {alias: int(version) for alias, version in aliases.items()} == {"champion": int(versions[0].version)}
    assert {"model/MLmodel", "model/card.md", "model/retrieval.safetensors", "model/ranker.safetensors"} <= artifacts
    assert not any("pkl" in path or "pickle" in path for path in artifacts)
    assert run.data.metrics["ndcg_at_10"] == pytest.approx(learned["judged"]["ndcg@10"]["model"]["value"])
    assert len(history) > 1 and f"input.histories.{planted.AS_OF}" in run.data.tags
    assert numbered_log.entries("promotions") == [learned], "the log is written once"


def test_running_again_changes_nothing(learned: dict, planted_home: Path, capsys: pytest.CaptureFixture) -> None:
    def lake_files() -> dict:
        return {path: path.stat().st_mtime_ns for path in (planted_home / "lake").rglob("*") if path.is_file()}

    before = lake_files()
    train.main(TRAIN)
    assert lake_files() == before and "promoted before" in capsys.readouterr().out


def test_a_training_repeated_elsewhere_gives_the_same_bytes(noise: dict) -> None:
    """No clock is in what the content hash covers."""
    manifest = snapshot.find(needs.plan(planted.AS_OF))
    files = session.run(planted.AS_OF, manifest.parameters["holdout_days"], lambda line: None).files
    assert {name: sha256_of(content) for name, content in files.items()} == {
        Path(file["path"]).name: file["sha256"] for file in manifest.files}


def test_an_older_training_never_follows_a_newer_one(learned: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = lineage.model_of(planted.AS_OF)
    newer = learned | {"as_of": "2026-02-05", "identity": "another"}
    monkeypatch.setattr(numbered_log, "entries", lambda name: [newer])
    entry = train._entry(manifest, None, None)
    assert entry["decision"] == "rejected" and "2026-02-05" in entry["reason"]


def test_judged_weights_have_not_seen_the_held_out_days(learned: dict) -> None:
    """The two pairs of weights differ, and a video's name is known to the judged one only if it was played before."""
    manifest = lineage.model_of(planted.AS_OF)
    used, judged = bundle.load(manifest), bundle.load(manifest, judged=True)
    night, users = load_night(planted.AS_OF), load_histories(planted.AS_OF)
    assert not np.array_equal(used.user_vectors(users), judged.user_vectors(users))
    assert used.video_vectors(night).shape == (night.size, used.user_vectors(users).shape[1])
    before = planted.log().before(needs.dates_of(planted.AS_OF)[0])
    assert set(judged.retrieval.names.video_ids.tolist()) == set(before.video.tolist())


def test_a_log_of_a_few_plays_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    world = planted.log()
    few = world.user <= 9
    planted.write(planted.Log(world.user[few], world.video[few], world.event_us[few]))
    with pytest.raises(Refusal, match="of 9 users had arrived before 2026-01-22"):
        train.main(TRAIN)
    assert not numbered_log.entries("promotions") and not snapshot.committed("model")
