"""How good the lists are, beside what a team could have instead: one log, one evaluator, full rankings of unseen videos.

    python benchmarks/quality.py FOLDER --preset movielens
    python benchmarks/quality.py --simulated [--users 20000]

Lands the log in a home of its own, builds tables and fits the funnel with the project's own jobs, lets every peer see
the same plays (each tuned on an earlier window), and judges all lists alike. Protocols:

    time_split      known before a day, judged after it; several days pooled where a log has few active users a day
    rolling         fitted before D, judged on D … D+6, for several D
    leave_one_out   each user's last play (5 plays or more) from all others: the published MovieLens tables' protocol

ALS, BPR and SASRec need `python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/requirements.txt`;
without it they are reported as absent. The last line is one JSON object.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import quality_judge as judging
from benchmarks import quality_log as logs
from benchmarks import quality_peers as peers
from benchmarks import quality_truth as truths
from benchmarks.quality_log import Split
from benchmarks.quality_moments import Moment, asked, command, job, moments
from funnel.users import index_in
from jobs.command import say
from lake import lineage
from lake.dates import midnight_us
from simulation.world import World

PROTOCOLS = ("time_split", "rolling", "leave_one_out")
INSTALL = "python3 -m venv .venv-peers && .venv-peers/bin/pip install -r benchmarks/requirements.txt"
FACTORS = {"factors": 64, "num_threads": 0}
LEARNED = {
    "als": tuple({**FACTORS, "iterations": 15, "regularization": 0.1, "alpha": alpha} for alpha in (1.0, 10.0, 40.0)),
    "bpr": tuple({**FACTORS, "iterations": 100, "regularization": 0.01, "learning_rate": rate} for rate in (0.01, 0.05)),
    "sasrec": ({"n_factors": 64, "n_heads": 2, "n_blocks": 2, "session_max_len": 100, "loss": "softmax"},),
}


@dataclass(frozen=True)
class Run:
    """What was asked for. minutes: the most SASRec may train at each moment."""

    scratch: Path
    peers: tuple[str, ...]
    peers_python: Path
    minutes: float


def main() -> None:
    options = parse()
    scratch = Path(options.scratch or tempfile.mkdtemp(prefix="nightreel-quality-"))
    scratch.mkdir(parents=True, exist_ok=True)
    run = Run(scratch, tuple(options.peers), Path(options.peers_python), options.minutes)
    begun, home = time.monotonic(), str(scratch / "home")
    folder, preset = options.folder, options.preset
    if options.simulated:
        folder, preset = str(scratch / "log"), "nightreel"
        job(home, "jobs.simulate", folder, "--users", str(options.users))
    if options.ties_by_file:
        folder = logs.ties_by_file(folder, scratch / "log-ties-by-file")
    job(home, "jobs.land", folder, "--preset", preset)
    os.environ["NIGHTREEL_HOME"] = home
    end = date.fromisoformat(lineage.landings("raw_events")[-1]["end"])
    job(home, "jobs.build", "events", "--as-of", str(end))
    events = logs.events_of(home, end)
    pools = {name: judging.Pool() for name in options.protocols}
    world = truths.world_of(home) if options.simulated else None
    for moment in moments(scratch, home, end, events, options.protocols, options.nights, world is not None):
        lists = judge(run, moment, pools)
        if world and "time_split" in moment.judged:
            pools["time_split"].truth = tell_truth(world, moment, events, lists, end)
    for name, pool in pools.items():
        for line in judging.report(name, pool):
            say(line)
    say(f"quality: {time.monotonic() - begun:.0f} s in all, scratch {scratch}")
    say(json.dumps({name: judging.told(pool) for name, pool in pools.items()}))


def parse() -> argparse.Namespace:
    found = logs.arguments(None, __doc__.splitlines()[0], users=20_000)
    found.add_argument("--protocols", nargs="+", choices=PROTOCOLS, help="default: all; simulated: the first two")
    found.add_argument("--nights", type=int, default=3, help="a week apart, that rolling judges (default 3)")
    every = [peer.name.replace(" ", "_") for peer in peers.PEERS] + list(LEARNED)
    found.add_argument("--peers", nargs="*", choices=every, default=every, metavar="PEER", help=", ".join(every))
    found.add_argument("--minutes", type=float, default=10, help="the most SASRec may train at each moment (10)")
    found.add_argument("--peers-python", default=str(ROOT / ".venv-peers" / "bin" / "python"), metavar="PATH")
    found.add_argument("--scratch", help="where homes and lists are made (default: a new folder); what is there already is not made again")
    found.add_argument("--ties-by-file", action="store_true",
                       help="ratings of one second in the order of ratings.csv, as published MovieLens tables have them")
    options = logs.parsed(found)
    if options.ties_by_file and (options.simulated or options.preset != "movielens"):
        found.error("--ties-by-file is for a folder of preset movielens with ratings.csv")
    options.protocols = options.protocols or list(PROTOCOLS[:2] if options.simulated else PROTOCOLS)
    return options


def judge(run: Run, moment: Moment, pools: dict[str, judging.Pool]) -> dict[str, np.ndarray]:
    """Lists of every system at a moment, for all users asked for; then each protocol judges its own users."""
    split, everyone = moment.split, asked(moment)
    say(f"quality {split.name}: {len(split.user):,} plays, {len(split.user_ids):,} users, {len(split.video_ids):,} "
        f"videos; " + ", ".join(f"{name} judges {len(each.judged):,}" for name, each in moment.judged.items()))
    lists = {judging.OURS: kept(run, split, judging.OURS, lambda: ours(run, moment, everyone))}
    absent = {}
    for peer in peers.PEERS:
        if peer.name.replace(" ", "_") in run.peers:
            lists[peer.name] = kept(run, split, peer.name, partial(_timed_peer, split, moment.tuning, peer, everyone))
    for name in LEARNED:
        if name in run.peers and not run.peers_python.exists():
            absent[name] = f"install: {INSTALL}"
        elif name in run.peers:
            lists[name] = kept(run, split, name, partial(learned, run, split, moment.tuning, name, everyone))
    for protocol, judged in moment.judged.items():
        rows = np.searchsorted(everyone, judged.judged)
        judging.add(pools[protocol], judged, {name: each[rows] for name, each in lists.items()})
        pools[protocol].absent |= absent
        means = {name: each["ndcg@10"][-1].mean() for name, each in pools[protocol].per_user.items()}
        best = sorted(means, key=lambda name: -means[name])[:4]
        say(f"quality {judged.name}: ndcg@10 " + ", ".join(f"{name} {means[name]:.4f}" for name in best))
    return lists


def tell_truth(world: World, moment: Moment, events: pa.Table, lists: dict[str, np.ndarray], end: date) -> dict:
    """Regret of every system's lists, and off-policy estimates of ours beside what they estimate."""
    split, everyone, past = moment.judged["time_split"], asked(moment), truths.past_of(world, events)
    rows = np.searchsorted(everyone, split.judged)
    regrets = truths.regret(world, past, split, {name: each[rows] for name, each in lists.items()})
    for name in sorted(regrets, key=lambda name: regrets[name]["regret"]):
        say(f"quality {split.name}: regret of {name} {regrets[name]}")
    mine = lists[judging.OURS][np.searchsorted(everyone, moment.sample)]
    estimates = truths.off_policy(world, past, split, events, moment.sample, mine, midnight_us(end))
    say(f"quality {split.name}: off-policy {estimates}")
    return {"regret": regrets, "off_policy": estimates}


def kept(run: Run, split: Split, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Lists that are made once per scratch folder: a run that was stopped goes on where it was."""
    path = run.scratch / f"{split.name} {name}.npy"
    if path.exists():
        say(f"quality {split.name}: {name} from {path}")
        return np.load(path)
    lists = make()
    unfinished = run.scratch / "unfinished.npy"
    np.save(unfinished, lists)
    unfinished.rename(path)
    return lists


def ours(run: Run, moment: Moment, users: np.ndarray) -> np.ndarray:
    """The funnel's lists, by `quality_ours.py` on the split's home."""
    split = moment.split
    asked, out = run.scratch / f"asked {split.name}.parquet", run.scratch / f"ours {split.name}.parquet"
    pq.write_table(pa.table({"user_id": split.user_ids[users]}), asked)
    command([sys.executable, str(ROOT / "benchmarks" / "quality_ours.py"), "--as-of", str(split.as_of), "--users",
             str(asked), "--out", str(out), *(["--lesson", *map(str, moment.lesson)] if moment.lesson else [])], split.home)
    rows = pq.read_table(out)
    return _as_lists(index_in(split.user_ids[users], rows["user_id"].to_numpy()), rows["rank"].to_numpy(),
                     index_in(split.video_ids, rows["video_id"].to_numpy()), len(users))


def _as_lists(row: np.ndarray, rank: np.ndarray, video: np.ndarray, users: int) -> np.ndarray:
    lists = np.full((users, peers.LENGTH), -1, np.int64)
    kept = (row >= 0) & (rank <= peers.LENGTH)
    lists[row[kept], rank[kept] - 1] = video[kept]
    return lists


def _timed_peer(split: Split, tuning: Split, peer: peers.Peer, users: np.ndarray) -> np.ndarray:
    begun = time.monotonic()
    settings = peers.tuned(peer, tuning)
    lists = peers.lists_of(split, peer.fit(split, **settings), users)
    say(f"quality {split.name}: {peer.name} {settings or ''} {time.monotonic() - begun:.1f} s")
    return lists


def learned(run: Run, split: Split, tuning: Split, name: str, users: np.ndarray) -> np.ndarray:
    """A peer of the other environment: its settings chosen on the earlier window, its lists for these users."""
    begun, grid = time.monotonic(), LEARNED[name]
    settings = grid[0]
    if len(grid) > 1 and len(tuning.judged):
        some = tuning.judged[np.unique(np.linspace(0, len(tuning.judged) - 1, peers.TUNING_USERS).astype(np.int64))]
        settings = max(grid, key=lambda one: peers.ndcg_of_lists(
            tuning, some, _elsewhere(run, tuning, name, one, some)))
    if name == "sasrec":
        settings = {**settings, "minutes": run.minutes}
    lists = _elsewhere(run, split, name, settings, users)
    say(f"quality {split.name}: {name} {settings} {time.monotonic() - begun:.1f} s")
    return lists


def _elsewhere(run: Run, split: Split, name: str, settings: dict, users: np.ndarray) -> np.ndarray:
    """i64[n, 100] from `quality_learned_peers.py`; Parquet in, Parquet out."""
    there = split.video >= 0
    plays, asked, out = (run.scratch / f"{name} {part}.parquet" for part in ("plays", "users", "lists"))
    known = np.intersect1d(users, split.user[there])
    pq.write_table(pa.table({"user": split.user[there], "item": split.video[there]}), plays)
    pq.write_table(pa.table({"user": known}), asked)
    command([str(run.peers_python), str(ROOT / "benchmarks" / "quality_learned_peers.py"), name, str(plays),
             str(asked), str(out), "--settings", json.dumps(settings)], split.home)
    rows = pq.read_table(out)
    return _as_lists(index_in(users, rows["user"].to_numpy()), rows["rank"].to_numpy(), rows["item"].to_numpy(),
                     len(users))


if __name__ == "__main__":
    main()
