"""Spark's Python workers start from the installed packages, with large pages."""

from jobs.spark_context import spark_context
from jobs.spark_workers import without_archives


def _told(_: int) -> tuple[str, str, list, bool, list]:
    import os
    import sys

    import numpy as np
    import pyarrow as pa
    import pyspark

    values = pa.array(np.arange(2)).to_numpy().tolist()
    return (pyspark.__file__, os.environ.get("GLIBC_TUNABLES", ""), values, "pandas" in sys.modules,
            [name for name in sys.path_importer_cache if "pyspark" in name and name.endswith((".zip", ".jar"))])


def test_workers_read_the_installed_package_and_not_the_archive_nor_pandas():
    file, tunables, values, pandas, archives = spark_context("test").parallelize([0], 1).map(_told).first()
    assert ".zip" not in file
    assert "glibc.malloc.hugetlb=1" in tunables
    assert values == [0, 1]
    assert not pandas
    assert not archives


def test_only_archives_inside_a_package_on_the_path_are_left_out(tmp_path):
    inside = tmp_path / "site" / "pyspark" / "python" / "lib" / "pyspark.zip"
    core = tmp_path / "site" / "pyspark" / "jars" / "spark-core.jar"
    elsewhere = tmp_path / "opt" / "spark" / "python" / "lib" / "pyspark.zip"
    for archive in (inside, core, elsewhere):
        archive.parent.mkdir(parents=True)
        archive.touch()
    (tmp_path / "site" / "pyspark" / "__init__.py").touch()
    path = [str(inside), str(core), str(elsewhere), str(tmp_path / "site"), "job.zip"]
    assert without_archives(path) == path[2:]
    assert without_archives(path[:3]) == path[:3]  # the package is not on the path: the archive is all there is
