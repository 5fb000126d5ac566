"""An index goes out only when it finds what exact search finds, and comes back only as it went out."""

import pickle
from dataclasses import replace
from datetime import date
from pathlib import Path

import faiss
import numpy as np
import pytest

from lake import writing
from lake.hashing import sha256_of
from lake.snapshot import Damaged, Manifest, Plan
from publishing import ann_index
from publishing.ann_index import IndexRules, TooFewFound

AS_OF = date(2026, 2, 5)
IDS = np.arange(100, 2100, dtype=np.int64)
APPROXIMATE = IndexRules(exact_below=100, probes=1)


def vectors(seed: int = 0, videos: int = 2000) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((videos, 16)).astype(np.float32)


def model(identity: str = "m" * 64) -> Manifest:
    return Manifest("model", 1, AS_OF, identity, "c" * 64, 0, [], {}, {}, {}, {}, [], {}, {})


def saved(index: faiss.Index, ids: np.ndarray = IDS) -> Manifest:
    attempt = writing.begin(Plan("ann_index", AS_OF))
    return writing.commit(attempt, ann_index.save(attempt, index, ids, model()), [])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path))


def test_small_catalogues_are_searched_exactly() -> None:
    index = ann_index.build(vectors())
    assert isinstance(index, faiss.IndexFlatIP)
    assert ann_index.tuned(index, vectors(), vectors(1, 50)) == 1.0


def test_large_catalogues_probe_until_the_floor() -> None:
    index = ann_index.build(vectors(), APPROXIMATE)
    assert isinstance(index, faiss.IndexIVFFlat) and index.nprobe == 1
    poor = ann_index.recall(index, vectors(), vectors(1, 50), 100)
    assert poor < APPROXIMATE.floor, "the test needs an index that begins with too few probes"
    assert ann_index.tuned(index, vectors(), vectors(1, 50), APPROXIMATE) >= APPROXIMATE.floor
    assert 1 < index.nprobe <= index.nlist


@pytest.mark.parametrize("rules", [IndexRules(), APPROXIMATE])
def test_stale_vectors_are_refused(rules: IndexRules) -> None:
    stale = ann_index.build(vectors(seed=9), rules)
    with pytest.raises(TooFewFound, match="other vectors"):
        ann_index.tuned(stale, vectors(), vectors(1, 50), rules)


def test_another_metric_is_refused() -> None:
    wrong = faiss.IndexFlatL2(16)
    wrong.add(vectors() * np.linspace(0.1, 5, 2000, dtype=np.float32)[:, None])
    with pytest.raises(TooFewFound):
        ann_index.tuned(wrong, vectors() * np.linspace(0.1, 5, 2000, dtype=np.float32)[:, None], vectors(1, 50))
    with pytest.raises(Damaged, match="metric"):
        ann_index.load(saved(wrong), IDS, model())


@pytest.mark.parametrize("rules", [IndexRules(), APPROXIMATE])
def test_what_comes_back_finds_the_same(rules: IndexRules) -> None:
    index = ann_index.build(vectors(), rules)
    ann_index.tuned(index, vectors(), vectors(1, 50), rules)
    back = ann_index.load(saved(index), IDS, model())
    retrieval = ann_index.retrieval_of(back)
    assert np.array_equal(retrieval.video_vectors, vectors())
    found, scores = retrieval.top(vectors(1, 50), 20)
    expected, _ = ann_index.index_top(index)(vectors(1, 50), 20)
    assert np.array_equal(found, expected) and (np.diff(scores, axis=1) <= 0).all()


def test_equal_scores_come_in_the_order_of_videos() -> None:
    same = np.ones((50, 16), np.float32)
    found, _ = ann_index.index_top(ann_index.build(same))(same[:3], 50)
    assert (found == np.arange(50)).all()


def test_an_index_of_other_videos_or_another_model_is_refused() -> None:
    manifest = saved(ann_index.build(vectors()))
    with pytest.raises(Damaged, match="the night has"):
        ann_index.load(manifest, IDS + 1, model())
    with pytest.raises(Damaged, match="made by model"):
        ann_index.load(manifest, IDS, model("n" * 64))


def test_fewer_vectors_than_ids_are_refused() -> None:
    with pytest.raises(Damaged, match="1,999 vectors"):
        ann_index.load(saved(ann_index.build(vectors()[1:])), IDS, model())


@pytest.mark.parametrize("name", [ann_index.INDEX, ann_index.IDS, ann_index.SETTINGS])
def test_one_flipped_bit_in_any_file_is_refused_by_name(name: str) -> None:
    manifest = saved(ann_index.build(vectors()))
    path = Path(manifest.path(name))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(Damaged, match=name):
        ann_index.load(manifest, IDS, model())


class Trap:
    def __reduce__(self) -> tuple:
        return Path.write_text, (Path("executed"), "a pickle was executed")


@pytest.mark.parametrize("name", [ann_index.INDEX, ann_index.IDS, ann_index.SETTINGS])
def test_a_pickle_in_any_slot_is_never_executed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    manifest = saved(ann_index.build(vectors()))
    planted = pickle.dumps(Trap())
    Path(manifest.path(name)).write_bytes(planted)
    with pytest.raises(Damaged, match=name):
        ann_index.load(manifest, IDS, model())
    forged = [file | ({"sha256": sha256_of(planted), "size": len(planted)} if file["path"].endswith(f"/{name}") else {})
              for file in manifest.files]  # even where the manifest agrees with the planted file
    with pytest.raises(Exception) as raised:
        ann_index.load(replace(manifest, files=forged), IDS, model())
    assert "manifest" not in str(raised.value), "the forgery was noticed before the file was parsed"
    assert not Path("executed").exists(), raised


def test_an_index_of_another_kind_is_refused() -> None:
    index = faiss.IndexHNSWFlat(16, 8, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors())
    with pytest.raises(Damaged, match="IndexHNSWFlat"):
        ann_index.load(saved(index), IDS, model())


def test_a_lying_length_may_not_allocate_more_than_the_file_is_worth() -> None:
    manifest = saved(ann_index.build(vectors()))
    content = bytearray(Path(manifest.path(ann_index.INDEX)).read_bytes())
    length = (2000 * 16).to_bytes(8, "little")
    place = content.find(length)
    assert place > 0, "FAISS writes the number of floats before them"
    content[place:place + 8] = (1 << 33).to_bytes(8, "little")
    with pytest.raises(Damaged, match="is no index"):
        ann_index.parse(bytes(content), manifest)
    assert faiss.get_deserialization_vector_byte_limit() > 1 << 39, "the limit is put back"


def test_the_same_vectors_make_the_same_bytes() -> None:
    once, again = (faiss.serialize_index(ann_index.build(vectors(), APPROXIMATE)).tobytes() for _ in range(2))
    assert once == again
