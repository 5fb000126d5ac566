"""What a live release promises, checked without any of the code that promises it: JSON, hashlib, pyarrow and faiss."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path

import faiss
import pyarrow.compute as pc
import pyarrow.parquet as pq


def whole_release(home: Path) -> dict:
    """N1 of the live release below a home: every file there with its size and sha256; rows, users, videos, model and
    index agree. Returns the release file; AssertionError says what is not so."""
    live = max((home / "releases").glob("[0-9]*.json"), key=lambda path: int(path.stem))
    told = json.loads(live.read_bytes())
    manifests = {name: _manifest(home, name, named) for name, named in told["snapshots"].items() if named}
    days = {name: manifest["as_of"] for name, manifest in manifests.items() if name != "model"}
    assert set(days.values()) == {told["as_of"]}, days
    made_from = manifests["recommendations"]["inputs"]
    for name in manifests.keys() & made_from.keys():
        assert made_from[name] == manifests[name]["content_hash"], f"lists were made from another {name}"
    _lists(home, told, manifests["recommendations"])
    if told["model"] == "none":
        assert not {"model", "ann_index"} & set(manifests), "a baseline night names a model or an index"
    else:
        _index(home, manifests)
    return told


def _manifest(home: Path, name: str, named: dict) -> dict:
    """A manifest that a release names, with every file it names."""
    path = home / "lake" / name / f"as_of={named['as_of']}" / f"{named['identity']}.json"
    content = path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == named["manifest_sha256"], path
    manifest = json.loads(content)
    assert (manifest["content_hash"], manifest["rows"]) == (named["content_hash"], named["rows"]), path
    for file in manifest["files"]:
        held = (path.parent / file["path"]).read_bytes()
        assert (len(held), hashlib.sha256(held).hexdigest()) == (file["size"], file["sha256"]), file["path"]
    if name not in ("model", "ann_index"):
        assert sum(pq.read_metadata(each).num_rows for each in _files(home, manifest)) == manifest["rows"], path
    return manifest


def _files(home: Path, manifest: dict) -> list[Path]:
    folder = home / "lake" / manifest["table"] / f"as_of={manifest['as_of']}"
    return [folder / file["path"] for file in manifest["files"]]


def _lists(home: Path, told: dict, manifest: dict) -> None:
    """What readers see has the rows and users that the release says, each video once a user."""
    lists: dict[int, list[int]] = defaultdict(list)
    for path in _files(home, manifest):
        for row in sorted(pq.read_table(path).to_pylist(), key=lambda row: row["rank"]):
            if row["user_id"] not in told["tombstones"]["users"] and row["video_id"] not in told["tombstones"]["videos"]:
                lists[row["user_id"]].append(row["video_id"])
    assert all(len(set(videos)) == len(videos) for videos in lists.values()), "a list holds a video twice"
    seen = {"users": len(lists), "rows": sum(min(told["k"], len(videos)) for videos in lists.values())}
    assert seen == {name: told["counts"][name] for name in seen}, (seen, told["counts"])


def _index(home: Path, manifests: dict[str, dict]) -> None:
    """The index holds every eligible video once, and is of the model that the release names."""
    index, model = manifests["ann_index"], manifests["model"]
    files = {path.name: path for path in _files(home, index)}
    ids = pq.read_table(files["ids.parquet"])["video_id"]
    assert faiss.read_index(str(files["index.faiss"])).ntotal == len(ids) == pc.count_distinct(ids).as_py()
    assert json.loads(files["settings.json"].read_bytes())["model"] == model["identity"]
    eligible = {video for path in _files(home, manifests["catalogue"]) for video, yes in zip(
        *(pq.read_table(path)[name].to_pylist() for name in ("video_id", "eligible")), strict=True) if yes}
    assert set(ids.to_pylist()) <= eligible and len(eligible) - len(ids) <= len(list((home / "log").glob("blocks/*.json")))
