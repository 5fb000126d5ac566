"""The index of a night: FAISS over every eligible video, checked before it is believed.

Exact (inner products with every video) below 200,000 videos, IVF-Flat above. Recall against exact search is measured on
vectors of real users; below the floor the number of probes doubles, and when all lists are probed in vain the index is
refused. Loading checks the sha256 before FAISS parses a byte, caps what parsing may allocate, and then compares metric,
dimension, size, ids and model with what the night expects.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from funnel.retrieval import Retrieval, Top, exact_top
from lake import snapshot, storage, writing
from lake.snapshot import Damaged, Manifest
from lake.writing import Attempt

# FAISS multiplies matrices from so many queries × dimensions on. Its own 128,000 is more than a batch of a night has, and
# without matrix products exact search takes six times as long.
faiss.cvar.distance_compute_blas_threshold = 4_096

INDEX, IDS, SETTINGS = "index.faiss", "ids.parquet", "settings.json"


class TooFewFound(Exception):
    """The index finds too few of the true nearest videos, whatever the probes; it must not go out."""


@dataclass(frozen=True)
class IndexRules:
    """exact_below: videos. floor: least recall@`recall_at` on up to `sample_users` users. probes: to begin with."""

    exact_below: int = 200_000
    floor: float = 0.95
    recall_at: int = 100
    sample_users: int = 500
    probes: int = 16
    seed: int = 1234


def build(vectors: np.ndarray, rules: IndexRules = IndexRules()) -> faiss.Index:
    """An inner-product index over vectors f32[V, d]; the place in `vectors` is the id. Trained on one thread, so that
    the same vectors always give the same lists."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    if len(vectors) < rules.exact_below:
        flat.add(vectors)
        return flat
    lists = int(4 * np.sqrt(len(vectors)))
    index = faiss.IndexIVFFlat(flat, vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.max_points_per_centroid, index.nprobe = rules.seed, 64, min(rules.probes, lists)
    with threads(1):
        index.train(vectors)
    index.add(vectors)
    return index


@contextmanager
def threads(count: int) -> Iterator[None]:
    """FAISS on so many threads for a while."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def recall(index: faiss.Index, vectors: np.ndarray, queries: np.ndarray, n: int) -> float:
    """Share of the true n best videos per query (f32[Q, d]) that the index finds, by exact search over `vectors`.

    A video as good as the n-th best counts as found, so ties cost nothing. 1.0 without queries or videos.
    """
    n = min(n, len(vectors))
    if not n or not len(queries):
        return 1.0
    _, best = exact_top(vectors)(queries, n)
    found, _ = index_top(index)(queries, n)
    scores = np.einsum("qd,qnd->qn", queries, vectors[np.maximum(found, 0)])
    slack = 1e-5 * np.maximum(np.abs(best[:, -1:]), 1)
    return float(((scores >= best[:, -1:] - slack) & (found >= 0)).mean())


def tuned(index: faiss.Index, vectors: np.ndarray, queries: np.ndarray, rules: IndexRules = IndexRules()) -> float:
    """Double the probes until the floor is reached; returns the recall. TooFewFound when no probes are left to add."""
    while True:
        measured = recall(index, vectors, queries, rules.recall_at)
        if measured >= rules.floor:
            return measured
        if not isinstance(index, faiss.IndexIVF) or index.nprobe >= index.nlist:
            raise TooFewFound(f"the index finds {measured:.1%} of the {rules.recall_at} nearest videos, the floor is "
                              f"{rules.floor:.0%}: it holds other vectors than the model's, or another metric")
        index.nprobe = min(2 * index.nprobe, index.nlist)


def index_top(index: faiss.Index) -> Top:
    """Search as the funnel wants it: best first, equal scores by video."""
    def top(user_vectors: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        n = min(n, index.ntotal)
        if not n:
            return np.zeros((len(user_vectors), 0), np.int64), np.zeros((len(user_vectors), 0), np.float32)
        scores, found = index.search(np.ascontiguousarray(user_vectors, np.float32), n)
        if (scores[:, 1:] == scores[:, :-1]).any():
            order = np.lexsort((found, -scores), axis=1)
            scores, found = np.take_along_axis(scores, order, 1), np.take_along_axis(found, order, 1)
        return found, scores
    return top


def save(attempt: Attempt, index: faiss.Index, video_ids: np.ndarray, model: Manifest) -> list[dict]:
    """Write the index, its ids and its settings; returns the accounts of the three files."""
    ids = io.BytesIO()
    pq.write_table(pa.table({"video_id": pa.array(video_ids, pa.int64())}), ids, write_page_checksum=True)
    settings = {"model": model.identity, "probes": probes(index), "dimension": index.d}
    return [writing.write_file(attempt, INDEX, faiss.serialize_index(index).tobytes()),
            writing.write_file(attempt, IDS, ids.getvalue()),
            writing.write_file(attempt, SETTINGS, json.dumps(settings, sort_keys=True).encode())]


def probes(index: faiss.Index) -> int:
    """Lists looked into per search; 0 for exact search."""
    return index.nprobe if isinstance(index, faiss.IndexIVF) else 0


def load(manifest: Manifest, video_ids: np.ndarray, model: Manifest) -> faiss.Index:
    """The index of a night, after every check. Damaged says which file or fact is not as it must be.

    video_ids: i64[V] of the night, ascending.
    """
    index = parse(snapshot.read_verified(manifest, INDEX), manifest)
    ids = indexed(manifest)
    settings = json.loads(snapshot.read_verified(manifest, SETTINGS))
    wrong = _disagreement(index, ids, video_ids, settings, model)
    if wrong:
        raise Damaged(f"{manifest.path(INDEX)}: {wrong}; run: python -m jobs.ann_index --as-of {manifest.as_of}")
    if isinstance(index, faiss.IndexIVF):
        index.nprobe = settings["probes"]
    return index


def indexed(manifest: Manifest) -> np.ndarray:
    """i64[V]: the ids of the videos in an index, sha256 checked."""
    return storage.parquet(snapshot.read_verified(manifest, IDS))["video_id"].to_numpy()


def _disagreement(index: faiss.Index, ids: np.ndarray, video_ids: np.ndarray, settings: dict, model: Manifest) -> str:
    if index.metric_type != faiss.METRIC_INNER_PRODUCT:
        return "its metric is not the inner product"
    if index.ntotal != len(ids) or not np.array_equal(ids, video_ids):
        return f"it holds {index.ntotal:,} vectors and {len(ids):,} ids, the night has {len(video_ids):,} other videos"
    if index.d != settings["dimension"]:
        return f"it holds vectors of {index.d} numbers, its model makes {settings['dimension']}"
    if settings["model"] != model.identity:
        return f"it was made by model {settings['model'][:16]}, the night's is {model.identity[:16]}"
    return ""


def parse(content: bytes, manifest: Manifest) -> faiss.Index:
    """An index from verified bytes. FAISS may allocate vectors in proportion to the bytes given, no more.

    FAISS compares a vector's length with the limit over four times its item size, hence the factor.
    """
    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(16 * len(content) + 4096)
    try:
        index = faiss.deserialize_index(np.frombuffer(content, np.uint8))
    except RuntimeError as error:
        raise Damaged(f"{manifest.path(INDEX)} is no index: {str(error)[:200]}") from error
    finally:
        faiss.set_deserialization_vector_byte_limit(before)
    if not isinstance(index, faiss.IndexFlat | faiss.IndexIVFFlat):
        raise Damaged(f"{manifest.path(INDEX)} is a {type(index).__name__}; only exact and IVF-Flat indexes are used")
    return index


def retrieval_of(index: faiss.Index) -> Retrieval:
    """What the funnel needs: the vectors f32[V, d] that the index holds, and a search: its own where it looks into some
    lists only; where every video is looked at, ours, which takes less time and settles ties."""
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    vectors = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.zeros((0, index.d), np.float32)
    return Retrieval(vectors, index_top(index) if isinstance(index, faiss.IndexIVF) else exact_top(vectors))
