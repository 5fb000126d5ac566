"""A model version in files: it comes back bit for bit, and nothing in its place is ever executed."""

import json
import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from funnel.neighbours import NeighbourRules
from funnel.ranking import FEATURE_NAMES, Features
from lake import writing
from lake.hashing import sha256_of
from lake.snapshot import Damaged, Manifest, Plan
from tests.funnel.worlds import random_night, random_users
from training import bundle, model_file, network, response, vocabulary
from training.bundle import Bundle
from training.calibration import Calibration
from training.fitted import FittedRetrieval
from training.network import Heads
from training.ranker import FittedRanker
from training.response import FittedResponse
from training.retrieval import Retrieval
from training.settings import RankerSettings, RetrievalSettings

NIGHT = random_night(60)
USERS = random_users(NIGHT, 25)
SETTINGS = RetrievalSettings(width=16, length=20)


class Trap:
    def __reduce__(self) -> tuple:
        return Path.write_text, (Path("executed"), "a pickle was executed")


def a_bundle(answers: bool = True, hidden: tuple[int, ...] = (64, 32)) -> Bundle:
    names = vocabulary.learn(NIGHT, USERS.video_ids[USERS.video_ids > 0], ["DE", "JP"])
    model = Retrieval(names, SETTINGS)
    play = Heads(len(FEATURE_NAMES), hidden, ("play",), 0.1)
    torch.nn.init.normal_(play.deep.weight, 0, 0.1), torch.nn.init.normal_(play.straight.weight, 0, 0.1)
    ranker = FittedRanker(play, Calibration(1.5, -2.0), RankerSettings(), [])
    play.standardise(np.random.default_rng(3).normal(1, 2, (50, len(FEATURE_NAMES))).astype(np.float32))
    heads = Heads(len(response.NAMES), (64, 32), ("like", "watch_ms"), 0.1)
    torch.nn.init.normal_(heads.deep.weight, 0, 0.1), torch.nn.init.normal_(heads.straight.weight, 0, 0.1)
    told = FittedResponse(heads, {"like": Calibration(0.9, 0.1), "watch_ms": Calibration(1.1, 0.0)}, 3, {"like": []})
    return Bundle(FittedRetrieval.of(model, names, SETTINGS, NIGHT), ranker, told if answers else None,
                  NeighbourRules(ridge=100.0, lately_fade=0.9))


def some_features(seed: int) -> Features:
    """Of 5,000 pairs of 7 users and 60 videos."""
    rng = np.random.default_rng(seed)
    first_user, first_pair = FEATURE_NAMES.index("log_play_count"), FEATURE_NAMES.index("retrieval_score")
    video, user, pair = (rng.normal(scale=3, size=size).astype(np.float32) for size in (
        (60, first_user), (7, first_pair - first_user), (len(FEATURE_NAMES) - first_pair, 5_000)))
    return Features(video, user, pair, rng.integers(0, 60, 5_000), np.sort(rng.integers(0, 7, 5_000)))


@pytest.mark.parametrize("hidden", [(), (64, 32)])
def test_heads_equal_the_networks_asked_row_by_row(hidden: tuple[int, ...]) -> None:
    made = a_bundle(hidden=hidden)
    for features in (some_features(1), some_features(2)):
        told, rows = made.score(features), features.rows()
        play = network.logits(made.ranker.network, rows)[:, 0]
        answers = response.heads(made.response, network.logits(made.response.network, rows[:, response.COLUMNS]))
        assert np.ptp(play) > 1 and np.allclose(told["play"], made.ranker.calibration(play), atol=1e-5)
        assert all(np.allclose(told[name], answers[name], rtol=1e-4, atol=1e-4) for name in answers)


def committed(made: Bundle, extra_file: tuple[str, bytes] | None = None) -> Manifest:
    files, told = bundle.files(made)
    judged, judged_told = bundle.files(made, "judged_")
    attempt = writing.begin(Plan("model", date(2026, 2, 2)))
    files |= judged | {"model.json": model_file.describe(told, judged_told, {})} | dict([extra_file] if extra_file else [])
    parts = [writing.write_file(attempt, name, content) for name, content in files.items()]
    return writing.commit(attempt, parts, [])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("answers", [True, False])
def test_a_bundle_comes_back_bit_for_bit(answers: bool) -> None:
    made = a_bundle(answers)
    manifest = committed(made)
    found = bundle.load(manifest)
    features = some_features(0)
    assert np.array_equal(made.user_vectors(USERS), found.user_vectors(USERS))
    assert np.array_equal(made.video_vectors(NIGHT), found.video_vectors(NIGHT))
    ours, theirs = made.score(features), found.score(features)
    assert ours.keys() == theirs.keys() and set(ours) >= {"play"}
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert found.neighbours == made.neighbours == model_file.neighbour_rules(model_file.part_of(manifest))
    again, _ = bundle.files(found)
    assert {name: sha256_of(content) for name, content in again.items()} == {
        name: sha256_of(content) for name, content in bundle.files(made)[0].items()}


@pytest.mark.parametrize("slot", ["retrieval.safetensors", "ranker.safetensors", "model.json",
                                  "judged_retrieval.safetensors", "judged_ranker.safetensors"])
def test_a_pickle_in_any_slot_is_never_executed(slot: str) -> None:
    manifest = committed(a_bundle())
    planted = pickle.dumps(Trap())
    Path(manifest.path(slot)).write_bytes(planted)
    with pytest.raises(Damaged, match=slot):
        bundle.load(manifest, judged=slot.startswith("judged_"))
    forged = json.loads(json.dumps(manifest.files))  # even where the manifest itself agrees with the planted file
    for file in forged:
        if file["path"].endswith(f"/{slot}"):
            file |= {"sha256": sha256_of(planted), "size": len(planted)}
    with pytest.raises(Exception) as raised:
        bundle.load(Manifest(**{**vars(manifest), "files": forged}), judged=slot.startswith("judged_"))
    assert "manifest" not in str(raised.value), "the forgery was noticed before the file was parsed"
    assert not Path("executed").exists(), raised


def test_another_versions_features_are_refused() -> None:
    made = a_bundle()
    files, told = bundle.files(made)
    attempt = writing.begin(Plan("model", date(2026, 2, 2)))
    files["model.json"] = model_file.describe(told | {"features": ["one", "two"]}, told, {})
    parts = [writing.write_file(attempt, name, content) for name, content in files.items()]
    with pytest.raises(model_file.Outdated, match="another version"):
        bundle.load(writing.commit(attempt, parts, []))


def test_a_vector_depends_on_the_users_own_history_alone() -> None:
    made = a_bundle()
    alone = np.concatenate([made.user_vectors(random_part(row)) for row in range(USERS.size)])
    assert np.allclose(alone, made.user_vectors(USERS), atol=1e-5)
    assert torch.is_grad_enabled()


def random_part(row: int):
    from funnel.users import take_users

    return take_users(USERS, np.array([row]))


def test_the_two_halves_of_a_ranker_keep_their_own_widths():
    straight = Heads(3, (), ("play",), 0.0)
    deep = Heads(2, (4, 5), ("like", "share"), 0.1)
    tensors = bundle._state(straight, "play.") | bundle._state(deep, "response.")
    assert len(bundle._heads(tensors, "play.", 3, ("play",)).layers) == 0
    assert [layer.out_features for layer in bundle._heads(tensors, "response.", 2, ("like", "share")).layers] == [4, 5]
