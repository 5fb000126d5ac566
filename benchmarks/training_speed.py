"""Training of the retrieval model beside SASRec of `rectools`: same plays, width, layers, heads, length and threads.

    python -m benchmarks.training_speed FOLDER --preset movielens
    python -m benchmarks.training_speed --simulated --users 2000

Lands the log in a home of its own and cuts it in time as `quality.py` does. Each system first runs two passes at some
batch sizes: the second pass tells its sequences per second. Then both are fitted pass after pass at each of them, and
the batch size that is there first counts. One evaluator judges the lists after every pass (full ranking of unseen
videos, users that came back after the cut). Told is the wall time until the NDCG@10 that both reach: from the first
byte read, data preparation included, imports and judging not.
With --scratch every fit is measured once: a run that was stopped goes on.

SASRec needs `python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/requirements.txt`. The last line
is one JSON object.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import quality_log as logs
from benchmarks.quality_log import Split
from benchmarks.quality_moments import job, last_cut
from funnel.users import index_in
from jobs.command import say
from training import metrics, settings

ROOT = Path(__file__).resolve().parent.parent
LENGTH = 100
SASREC_BATCHES = (32, 128, 512)
OUR_TOKENS = (1024, 4096, 16384)
TABLES = ("catalogue", "histories", "popularity", "feature_snapshots")


@dataclass(frozen=True)
class Run:
    """minutes: the most one fit of SASRec may take."""

    scratch: Path
    peers_python: Path
    threads: int
    minutes: float
    epochs: int


@dataclass(frozen=True)
class Pass:
    """After a pass: seconds from the start, sequences read in it, and NDCG@10 (None where nobody listed)."""

    seconds: float
    sequences: int
    ndcg: float | None


def main() -> None:
    chosen = parse()
    scratch = Path(chosen.scratch or tempfile.mkdtemp(prefix="nightreel-training-"))
    run = Run(scratch, Path(chosen.peers_python), chosen.threads, chosen.minutes, chosen.epochs)
    split = landed(chosen, scratch)
    plan = settings.retrieval_settings(len(split.user), len(split.user_ids), len(split.video_ids))
    size = {"n_factors": plan.width, "n_blocks": plan.layers, "n_heads": plan.heads, "session_max_len": plan.length}
    say(f"training_speed: {len(split.user):,} plays, {len(split.user_ids):,} users, {len(split.video_ids):,} videos, "
        f"{len(split.judged):,} judged; {size}, threads {run.threads}")
    speeds = {"ours": {tokens: speed(ours(run, split, {"batch_tokens": tokens, "epochs": 2}, False))
                       for tokens in OUR_TOKENS},
              "sasrec": {batch: speed(sasrec(run, split, {**size, "batch_size": batch}, 2, False))
                         for batch in SASREC_BATCHES}}
    for name, each in speeds.items():
        say(f"training_speed: {name}, sequences/s by batch size: " + ", ".join(f"{n}: {each[n]:.1f}" for n in each))
    races = {f"ours {tokens}": ours(run, split, {"batch_tokens": tokens}, True) for tokens in OUR_TOKENS}
    races |= {f"sasrec {batch}": sasrec(run, split, {**size, "batch_size": batch}, run.epochs, True)
              for batch in SASREC_BATCHES}
    for name, passes in races.items():
        say(f"training_speed: {name}: " + ", ".join(f"{each.seconds:.1f} s {each.ndcg:.4f}" for each in passes))
    print(json.dumps(told(run, split, speeds, races)))


def parse() -> argparse.Namespace:
    found = logs.arguments("python -m benchmarks.training_speed", __doc__.splitlines()[0], users=2_000)
    found.add_argument("--threads", type=int, default=1, help="of both (default 1, as jobs.train fits)")
    found.add_argument("--minutes", type=float, default=10, help="the most one fit of SASRec may take (10)")
    found.add_argument("--epochs", type=int, default=100, help="the most SASRec may run (100)")
    found.add_argument("--peers-python", default=str(ROOT / ".venv-peers" / "bin" / "python"), metavar="PATH")
    found.add_argument("--scratch", help="where the home is made (default: a new folder); one that is there is used again")
    return logs.parsed(found)


def landed(chosen: argparse.Namespace, scratch: Path) -> Split:
    """The log in a home of its own, cut at the last day that quality.py's time split would cut at."""
    home, as_of, until, plays = last_cut(chosen.folder, chosen.preset, chosen.users, scratch)
    job(home, "jobs.build", "tiles", *TABLES, "--as-of", str(as_of))
    split = logs.timed("time_split", home, as_of, until, plays)
    there = split.video >= 0
    pq.write_table(pa.table({"user_id": split.user_ids[split.user[there]],
                             "video_id": split.video_ids[split.video[there]]}), scratch / "plays.parquet")
    pq.write_table(pa.table({"user_id": split.user_ids[split.judged]}), scratch / "judged.parquet")
    return split


def ours(run: Run, split: Split, wanted: dict, lists: bool) -> list[Pass]:
    script = str(ROOT / "benchmarks" / "training_speed_ours.py")
    return fitted(run, split, [sys.executable, script, str(split.as_of)], wanted, lists, [])


def sasrec(run: Run, split: Split, wanted: dict, epochs: int, lists: bool) -> list[Pass]:
    script = str(ROOT / "benchmarks" / "training_speed_sasrec.py")
    command = [str(run.peers_python), script, str(run.scratch / "plays.parquet")]
    return fitted(run, split, command, wanted, lists, ["--epochs", str(epochs), "--minutes", str(run.minutes)])


def fitted(run: Run, split: Split, command: list[str], wanted: dict, lists: bool, more: list[str]) -> list[Pass]:
    """Run one fit in a process of its own and judge what it listed; or read what it told when it was run before."""
    asked = json.dumps([Path(command[1]).stem, wanted, lists, more, run.threads])
    kept = run.scratch / f"fit {hashlib.sha256(asked.encode()).hexdigest()[:12]}.json"
    if kept.exists():
        return [Pass(**each) for each in json.loads(kept.read_text())["passes"]]
    out = Path(tempfile.mkdtemp(dir=run.scratch))
    argv = [*command, str(run.scratch / "judged.parquet"), str(out), *more, *(["--lists"] if lists else []),
            "--settings", json.dumps({**wanted, "threads": run.threads})]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env={
        **os.environ, "NIGHTREEL_HOME": split.home, "OMP_NUM_THREADS": str(run.threads)})
    if done.returncode:
        sys.exit(f"error: {' '.join(argv)} failed:\n{done.stderr[-2000:]}")
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    passes = [Pass(each["seconds"], each["sequences"], ndcg(split, out / f"{each['pass']}.parquet") if lists else None)
              for each in told]
    unfinished = run.scratch / "unfinished.json"
    unfinished.write_text(json.dumps({"asked": asked, "passes": [asdict(each) for each in passes]}))
    unfinished.rename(kept)
    return passes


def speed(passes: list[Pass]) -> float:
    """Sequences per second of the second pass."""
    return passes[1].sequences / (passes[1].seconds - passes[0].seconds)


def ndcg(split: Split, path: Path) -> float:
    """Mean NDCG@10 over the judged users; who got no list counts 0."""
    rows, lists = pq.read_table(path), np.full((len(split.judged), LENGTH), -1, np.int64)
    row = index_in(split.user_ids[split.judged], rows["user_id"].to_numpy())
    video, rank = index_in(split.video_ids, rows["video_id"].to_numpy()), rows["rank"].to_numpy()
    kept = (row >= 0) & (rank <= LENGTH)
    lists[row[kept], rank[kept] - 1] = video[kept]
    hits = metrics.hits_of(lists, split.offsets, split.truth)
    return float(metrics.ndcg(hits, np.diff(split.offsets), 10).mean())


def told(run: Run, split: Split, speeds: dict[str, dict[int, float]], races: dict[str, list[Pass]]) -> dict:
    """The last line. reached: the NDCG@10 that both reach, the better of each system's fits taken; seconds: the first
    time each was there; ratio: how many times faster ours was. speed_ratio: of sequences per second alone."""
    fits = {system: [passes for name, passes in races.items() if name.startswith(system)] for system in speeds}
    tops = {system: max(each.ndcg for passes in fits[system] for each in passes) for system in fits}
    reached = min(tops.values())
    seconds = {system: min(each.seconds for passes in fits[system] for each in passes if each.ndcg >= reached)
               for system in fits}
    fastest = {system: max(each.values()) for system, each in speeds.items()}
    return {"reached_ndcg@10": round(reached, 4), "seconds": {name: round(each, 2) for name, each in seconds.items()},
            "ratio": round(seconds["sasrec"] / seconds["ours"], 2),
            "best_ndcg@10": {name: round(each, 4) for name, each in tops.items()},
            "sequences_per_s": {name: round(each, 1) for name, each in fastest.items()},
            "speed_ratio": round(fastest["ours"] / fastest["sasrec"], 2), "threads": run.threads,
            "judged": len(split.judged), "plays": len(split.user), "videos": len(split.video_ids)}


if __name__ == "__main__":
    main()
