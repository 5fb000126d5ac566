"""The process that Spark forks its Python workers from: `spark.python.daemon.module` in jobs/spark_context.py.

Spark puts pyspark and itself as archives first on its workers' path. Python compiles an archive's modules anew whenever it
reads them, which is a second per command, and every worker reads the archives' tables of contents. Where the installed
package is the one that the archives lie in, that is read instead, and what every worker needs is loaded once, before the
first fork.
"""

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def without_archives(path: list[str]) -> list[str]:
    """An import path without the archives that lie in a package which the path finds by itself."""
    def inside_a_package(entry: Path) -> bool:
        return any((folder / "__init__.py").exists() and str(folder.parent) in path for folder in entry.parents)

    return [entry for entry in path if not (entry.endswith((".zip", ".jar")) and inside_a_package(Path(entry)))]


class Without:
    """Finds no package of these names. pyarrow imports pandas when it is first handed a numpy array or gives one, and numba
    scipy and cffi with its first loop, which costs a process most of a second; they do without where there is none."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def find_spec(self, name: str, *_: object) -> None:
        """ModuleNotFoundError for those; nothing to say of others."""
        if name in self.names:
            raise ModuleNotFoundError(f"jobs/spark_workers.py hides {name}, to start sooner", name=name)


def prepare(work: str) -> None:
    """Hide from this process what a module does not need, before it is imported: everybody computes on Arrow and numpy, and
    features on nothing else."""
    sys.meta_path.insert(0, Without("pandas", *(("scipy.linalg", "cffi") if work.startswith("features.") else ())))
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # cores have a worker each
    gc.set_threshold(100_000)  # what is imported is never garbage, and is looked through again and again


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
    for gone in set(sys.path_importer_cache) - set(sys.path):
        del sys.path_importer_cache[gone]  # else every worker reads an archive's table of contents again

    prepare(os.environ.get("NIGHTREEL_WORK", ""))

    from pyspark import daemon, worker  # noqa: F401

    import_module(os.environ.get("NIGHTREEL_WORK") or "features.frames")
    gc.freeze()  # pyspark looks for garbage after every task, but not among what is frozen

    daemon.worker = until_java_goes(daemon.worker)
    daemon.manager()
