"""ALS and BPR of `implicit` and SASRec of `rectools`, in an environment of their own (they want an older numpy).

    PEERS_PYTHON benchmarks/quality_learned_peers.py MODEL PLAYS.parquet USERS.parquet OUT.parquet --settings JSON

PLAYS: user, item (small integers), oldest first within a user. USERS: user. OUT: user, rank from 1, item, unseen ones.
Imports nothing of Nightreel: Parquet is all that passes between the two environments.
"""

import argparse
import json
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import sparse

LENGTH = 100
SEED = 7
PATIENCE = 3
MOST_EPOCHS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=("als", "bpr", "sasrec"))
    for name in ("plays", "users", "out"):
        parser.add_argument(name)
    parser.add_argument("--settings", type=json.loads, default={})
    chosen = parser.parse_args()
    plays, users = pq.read_table(chosen.plays).to_pandas(), pq.read_table(chosen.users)["user"].to_numpy()
    make = sasrec if chosen.model == "sasrec" else factors
    make(chosen.model, plays, users, chosen.settings).to_parquet(chosen.out)


def factors(name: str, plays: pd.DataFrame, users: np.ndarray, settings: dict) -> pd.DataFrame:
    """Matrix factorisation of who played what."""
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking

    made = {"als": AlternatingLeastSquares, "bpr": BayesianPersonalizedRanking}[name](random_state=SEED, **settings)
    shape = (int(plays["user"].max()) + 1, int(plays["item"].max()) + 1)
    played = sparse.csr_matrix((np.ones(len(plays), np.float32), (plays["user"], plays["item"])), shape)
    played.data[:] = 1
    made.fit(played, show_progress=False)
    items, scores = made.recommend(users, played[users], N=min(LENGTH, shape[1]), filter_already_liked_items=True)
    there = (items >= 0) & (scores > np.finfo(np.float32).min)
    row, rank = np.nonzero(there)
    return pd.DataFrame({"user": users[row], "rank": rank + 1, "item": items[row, rank]})


def sasrec(_: str, plays: pd.DataFrame, users: np.ndarray, settings: dict) -> pd.DataFrame:
    """SASRec with a full softmax, first with everybody's last play held out. Where three epochs bring nothing it is
    fitted again, on everything, for as many epochs as were best; where the minutes are gone before, it stays as it is
    (its lists see the whole histories all the same). Minutes are processor time per thread, so that a busy machine
    takes nothing from it."""
    from rectools.dataset import Dataset

    minutes = settings.pop("minutes")
    table = pd.DataFrame({"user_id": plays["user"], "item_id": plays["item"], "weight": 1.0, "datetime":
                          pd.Timestamp("2000-01-01") + pd.to_timedelta(np.arange(len(plays)), unit="s")})
    data = Dataset.construct(table)
    begun = _clock()
    model, ran, best = _fit(data, settings, minutes)
    capped = ran < MOST_EPOCHS and ran - best < PATIENCE
    if not capped:
        model = _fit(data, settings, None, best)[0]
    print(f"sasrec: {f'stopped by the cap after {ran}' if capped else f'best after {best} of {ran}'} epochs, "
          f"{_clock() - begun:.0f} s", flush=True)
    told = model.recommend(users=users, dataset=data, k=LENGTH, filter_viewed=True,
                           on_unsupported_targets="ignore")
    return told.rename(columns={"user_id": "user", "item_id": "item"})[["user", "rank", "item"]].astype(np.int64)


def _clock() -> float:
    """Seconds of processor time, per thread that torch uses."""
    import torch

    return time.process_time() / torch.get_num_threads()


def _fit(data: object, settings: dict, minutes: float | None, epochs: int = MOST_EPOCHS) -> tuple[object, int, int]:
    """A fitted model, the epochs it ran and the best of them. minutes: search, with the last plays held out, until it
    gets no better or they are gone; None: on everything, for exactly `epochs`."""
    from pytorch_lightning import Callback, Trainer, seed_everything
    from rectools.models import SASRecModel

    class Watch(Callback):
        """Losses on what was held out; stops when they stop falling or the time is over."""

        def on_fit_start(self, trainer: Trainer, module: object) -> None:
            self.begun, self.losses, self.ran = _clock(), [], 0

        def on_train_epoch_end(self, trainer: Trainer, module: object) -> None:
            self.ran += 1
            loss = trainer.callback_metrics.get(SASRecModel.val_loss_name)
            spent = _clock() - self.begun
            if minutes is not None:
                self.losses.append(float(loss))
                trainer.should_stop |= self.ran - self.best >= PATIENCE
                trainer.should_stop |= spent + spent / self.ran > minutes * 60
            print(f"sasrec epoch {self.ran}: {spent:.0f} s, {self.losses[-1:]}", file=sys.stderr, flush=True)

        @property
        def best(self) -> int:
            return int(np.argmin(self.losses)) + 1 if self.losses else self.ran

    def trainer() -> Trainer:
        return Trainer(max_epochs=epochs, min_epochs=1, devices=1, logger=False, enable_checkpointing=False,
                       enable_progress_bar=False, enable_model_summary=False, callbacks=[Watch()], accelerator="auto")

    def last_of_each(interactions: pd.DataFrame) -> np.ndarray:
        return (~interactions.duplicated("user_id", keep="last")).to_numpy()

    seed_everything(SEED)
    model = SASRecModel(get_trainer_func=trainer, get_val_mask_func=last_of_each if minutes is not None else None, **settings)
    model.fit(data)
    watch = next(each for each in model.fit_trainer.callbacks if isinstance(each, Watch))
    return model, watch.ran, watch.best


if __name__ == "__main__":
    main()
