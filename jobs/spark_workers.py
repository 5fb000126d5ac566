"""The process that Spark forks its Python workers from: `spark.python.daemon.module` in jobs/spark_context.py.

Spark puts pyspark as an archive first on its workers' path, and Python compiles an archive's modules anew whenever it
reads them: a second per command. Where the installed package is the one that the archive lies in, that is read instead,
and what every worker needs is loaded once, before the first fork.
"""

import sys
from collections.abc import Callable
from pathlib import Path


def without_archives(path: list[str]) -> list[str]:
    """An import path without the archives that lie in a package which the path finds by itself."""
    def inside_a_package(entry: Path) -> bool:
        return len(entry.parents) > 3 and (entry.parents[2] / "__init__.py").exists() and str(entry.parents[3]) in path

    return [entry for entry in path if not (entry.endswith(".zip") and inside_a_package(Path(entry)))]


class WithoutPandas:
    """Finds no pandas. pyarrow imports it when it is first handed a numpy array or gives one, which costs every worker most
    of a second, and does without where there is none. Workers compute on Arrow and numpy alone."""

    def find_spec(self, name: str, *_: object) -> None:
        """ModuleNotFoundError for pandas; nothing to say of others."""
        if name == "pandas":
            raise ModuleNotFoundError("jobs/spark_workers.py hides pandas, to start sooner", name=name)


def until_java_goes(worker: Callable[..., int]) -> Callable[..., int]:
    """pyspark's worker, which now and then tells of a broken pipe at the end of a command that went well: Java is gone
    while it waits for more work."""
    def run(*arguments: object) -> int:
        try:
            return worker(*arguments)
        except BrokenPipeError:
            return 1

    return run


if __name__ == "__main__":
    sys.path[:] = without_archives(sys.path)

    sys.meta_path.insert(0, WithoutPandas())

    from pyspark import daemon

    import features.frames  # noqa: F401

    daemon.worker = until_java_goes(daemon.worker)
    daemon.manager()
