"""SASRec of `rectools` fitted on the same plays, its seconds and its lists after each epoch. Imports nothing of Nightreel.

    PEERS_PYTHON benchmarks/training_speed_sasrec.py PLAYS.parquet USERS.parquet OUT --settings JSON --epochs N [--lists]

PLAYS: user_id, video_id, oldest first within a user. Seconds run from the first byte read to the end of an epoch, its
own preparation of the data included; imports and listing are not in them. Prints a JSON line per epoch; with --lists,
OUT/N.parquet has user_id, rank, video_id of 100 unseen videos after epoch N.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools.dataset import Dataset
from rectools.models import SASRecModel

LENGTH, SEED = 100, 7


class Watch(Callback):
    """Notes the time and keeps the weights of each epoch; stops before an epoch that would not end in time."""

    def __init__(self, begun: float, minutes: float, sequences: int) -> None:
        self.begun, self.minutes, self.sequences, self.idle, self.weights = begun, minutes, sequences, 0.0, []

    def on_train_epoch_end(self, trainer: Trainer, module: object) -> None:
        paused = time.perf_counter()
        seconds = paused - self.begun - self.idle
        self.weights.append(copy.deepcopy(module.torch_model.state_dict()))
        print(json.dumps({"pass": len(self.weights), "seconds": seconds, "sequences": self.sequences}), flush=True)
        trainer.should_stop |= seconds * (1 + 1 / len(self.weights)) > self.minutes * 60
        self.idle += time.perf_counter() - paused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("plays", "users", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--settings", type=json.loads, default={}, help="threads, and arguments of SASRecModel")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lists", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.settings.pop("threads", 1))
    seed_everything(SEED)
    begun = time.perf_counter()
    plays = pq.read_table(chosen.plays).to_pandas()
    seconds = pd.to_timedelta(np.arange(len(plays)), unit="s")
    data = Dataset.construct(pd.DataFrame({
        "user_id": plays["user_id"], "item_id": plays["video_id"], "weight": 1.0,
        "datetime": pd.Timestamp("2000-01-01") + seconds}))
    watch = Watch(begun, chosen.minutes, int((plays["user_id"].value_counts() > 1).sum()))
    model = SASRecModel(get_trainer_func=lambda: Trainer(
        max_epochs=chosen.epochs, min_epochs=1, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[watch], accelerator="auto"), **chosen.settings)
    model.fit(data)
    watch = next(each for each in model.fit_trainer.callbacks if isinstance(each, Watch))
    users = pq.read_table(chosen.users)["user_id"].to_numpy()
    for number, weights in enumerate(watch.weights if chosen.lists else [], 1):
        model.torch_model.load_state_dict(weights)
        told = model.recommend(users=users, dataset=data, k=LENGTH, filter_viewed=True, on_unsupported_targets="ignore")
        told.rename(columns={"item_id": "video_id"})[["user_id", "rank", "video_id"]].astype(np.int64).to_parquet(
            chosen.out / f"{number}.parquet")


if __name__ == "__main__":
    main()
