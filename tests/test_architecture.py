"""Imports point one way, and each engine stays in its room. The rules are the ones in CONTRIBUTING and the design."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("lake", "features", "validation", "funnel", "training", "publishing", "simulation", "jobs", "dags")

# Package → what it may import of ours, besides itself. A module name stands for that module alone.
MAY_IMPORT = {
    "lake": (),
    "features": ("lake",),
    "validation": ("lake",),
    "funnel": ("lake",),
    "training": ("lake", "funnel", "features.views"),
    "publishing": ("lake", "funnel", "training"),
    "simulation": ("lake",),
    "jobs": ("lake", "features", "validation", "funnel", "training", "publishing", "simulation"),
    "dags": ("lake.tables",),
}

# Engine → where it may be imported, anywhere in a file.
ENGINES = {
    "pyspark": ("features", "validation", "jobs"),
    "torch": ("training", "publishing"),
    "safetensors": ("training",),
    "airflow": ("dags",),
    "mlflow": ("training.registry",),
    "faiss": ("publishing",),
    "numba": ("features.compiled", "funnel.compiled", "training.compiled"),
    "great_expectations": ("validation",),
    "redis": ("publishing.online_store",),
}
NO_SPARK = ("features.views",)
LAKE_STANDS_ON = {"numpy", "pyarrow", "fsspec"}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, module: str) -> list[tuple[int, str]]:
    """(line, dotted name) of everything a file imports, inside functions too, except for type checkers."""
    tree = ast.parse(source)
    guards = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(child) for node in guards for child in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*module.split(".")[:-node.level], node.module or ""]) if node.level else node.module or ""
            found += [(node.lineno, f"{base}.{alias.name}".lstrip(".")) for alias in node.names]
    return found


def inside(name: str, scopes: tuple[str, ...]) -> bool:
    return any(name == scope or name.startswith(scope + ".") for scope in scopes)


def broken_rule(module: str, imported: str) -> str:
    """What is wrong with this import, empty when nothing is."""
    package, top = module.split(".")[0], imported.split(".")[0]
    if top in PACKAGES and top != package and not inside(imported, MAY_IMPORT[package]):
        return f"{package} may import {', '.join(MAY_IMPORT[package]) or 'no package of ours'}"
    if top in ENGINES and (not inside(module, ENGINES[top]) or top == "pyspark" and inside(module, NO_SPARK)):
        return f"{top} belongs in {', '.join(ENGINES[top])}"
    if package == "lake" and top not in {*sys.stdlib_module_names, *LAKE_STANDS_ON, "lake"}:
        return f"lake stands on {', '.join(sorted(LAKE_STANDS_ON))} and the standard library"
    return "" if top != "tests" else "nothing imports the tests"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    wrong = [f"{path.relative_to(ROOT)}:{line} imports {name}, but {rule}"
             for path in sorted((ROOT / package).rglob("*.py"))
             for line, name in imports(path.read_text(), module_of(path))
             if (rule := broken_rule(module_of(path), name))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("module", "source"), [
    ("lake.tables", "import pandas"),
    ("lake.tables", "from funnel import night"),
    ("features.views", "def f():\n    from pyspark.sql import functions"),
    ("funnel.night", "import torch"),
    ("training.loop", "from features import tiles"),
    ("training.loop", "import mlflow.pytorch"),
    ("publishing.live", "from validation import gate"),
    ("validation.gate", "from jobs import command"),
    ("jobs.train", "import airflow"),
    ("jobs.train", "import mlflow"),
    ("dags.nightly", "from lake import snapshot"),
    ("jobs.ann_index", "import faiss"),
    ("funnel.night", "from simulation import truth"),
])
def test_the_rules_catch(module, source):
    assert any(broken_rule(module, name) for _, name in imports(source, module))
