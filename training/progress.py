"""What a fit tells while it runs: one record per pass over the data, printed as a line and kept for MLflow."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One pass: which fit, its number from 1, its metrics (a loss falls, an ndcg rises), its seconds."""

    stage: str
    number: int
    values: dict[str, float]
    seconds: float

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:.4g}" if abs(value) >= 1000 else f"{name} {value:.4f}"
                         for name, value in self.values.items())
        return f"{self.stage} epoch {self.number}: {told}, {self.seconds:.1f} s"


Report = Callable[[Epoch], None]
