"""When an id first showed itself, for dimension rows that do not say when they arrived."""

from dataclasses import dataclass, field

import numpy as np

_WAITING_ROWS = 1_000_000


@dataclass
class FirstArrivals:
    """The first arrival (microseconds) of an event per id. Memory: the distinct ids, and as many rows to be merged."""

    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    arrived_us: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    _waiting: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, ids: np.ndarray, arrived_us: np.ndarray) -> None:
        self._waiting.append(_earliest(ids, arrived_us))
        if sum(len(waiting) for waiting, _ in self._waiting) > max(len(self.ids), _WAITING_ROWS):
            self._merge()

    def of(self, ids: np.ndarray, otherwise_us: int) -> np.ndarray:
        """First arrivals of ids; `otherwise_us` for those without an event."""
        self._merge()
        if not len(self.ids):
            return np.full(len(ids), otherwise_us, np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self.arrived_us[at], otherwise_us)

    def _merge(self) -> None:
        if self._waiting:
            pieces = [(self.ids, self.arrived_us), *self._waiting]
            self._waiting = []
            self.ids, self.arrived_us = _earliest(np.concatenate([ids for ids, _ in pieces]),
                                                  np.concatenate([arrived for _, arrived in pieces]))


def _earliest(ids: np.ndarray, arrived_us: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ids, ascending, with the least arrival of each."""
    if not len(ids):
        return ids, arrived_us
    order = np.argsort(ids, kind="stable")
    ids, arrived = ids[order], arrived_us[order]
    first = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    return ids[first], np.minimum.reduceat(arrived, first)
