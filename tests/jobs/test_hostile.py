"""What people, and programs, may type into any command: refused with few words, nothing started, nothing touched."""

import ast
import importlib
import re
from pathlib import Path

import pytest

from jobs import backfill, clean, erase, explain, release, releases, rollback
from jobs.command import run
from lake.refusal import Refusal

JOBS = Path(clean.__file__).parent
DATES = ["2026-02-31", "2026-02-05\n", "2026-02-05; rm -rf /", "$(id)", "`id`", "../../etc", "{{ 7*7 }}", "--help-me",
         "\x00", "9" * 10_000, "٢٠٢٦-٠٢-٠١", "' OR 1=1 --", "", "2026-02-05T00:00:00", "0000-00-00"]
NUMBERS = ["1; id", "1e9", "0x10", "$(id)", "", "9" * 5_000, "-1"]


def with_a_date() -> list[str]:
    """Every command that takes --as-of."""
    return sorted(path.stem for path in JOBS.glob("*.py") if '"--as-of", required=True' in path.read_text())


def outcome(module: object, arguments: list[str], monkeypatch: pytest.MonkeyPatch,
            capsys: pytest.CaptureFixture) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["command", *arguments])
    try:
        code = run(module.main)
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "home"))
    return tmp_path


def test_there_are_commands_to_try():
    assert {"build", "release", "train", "replay", "diff", "explain", "report", "wait"} <= set(with_a_date())


@pytest.mark.parametrize("name", with_a_date())
def test_a_hostile_date_is_refused_by_every_command(name, home, monkeypatch, capsys):
    module = importlib.import_module(f"jobs.{name}")
    first = ["events"] if name == "build" else []
    for typed in DATES:
        code, said = outcome(module, [*first, "--as-of", typed], monkeypatch, capsys)
        assert code == 2 and len(said) < 4_000, (typed[:40], code, said[:300])
    assert not list(home.iterdir())


def test_a_hostile_day_of_a_backfill_is_refused(home, monkeypatch, capsys):
    for typed in DATES:
        for days in (["--from", typed, "--to", "2026-02-05"], ["--from", "2026-02-05", "--to", typed]):
            assert outcome(backfill, days, monkeypatch, capsys)[0] == 2, typed[:40]
    assert not list(home.iterdir())


@pytest.mark.parametrize(("module", "option"), [
    (release, "--k"), (explain, "--k"), (rollback, "--to"), (releases, "--pin"), (clean, "--keep"),
    (clean, "--grace-hours")])
def test_a_hostile_number_is_refused(module, option, home, monkeypatch, capsys):
    day = ["--as-of", "2026-02-05"] if module in (release, explain) else []
    for typed in NUMBERS if option != "--grace-hours" else ["1; id", "nan", "inf", "-1", "1e9"]:
        code, said = outcome(module, [*day, option, typed], monkeypatch, capsys)
        assert code in (2, 3) and len(said) < 12_000, (option, typed[:40], code, said[:300])
    assert not list(home.iterdir())


@pytest.mark.parametrize("typed", ["", "x" * 10_000, "a\nb", "\x1b[2J", "\x00"])
def test_a_hostile_id_is_refused(typed, home, monkeypatch, capsys):
    assert outcome(erase, ["--user", typed], monkeypatch, capsys)[0] == 2
    with pytest.raises(Refusal):
        erase.main(["--user", "$(reboot)"])
    assert not list(home.iterdir())


def test_nothing_unpickles():
    """A pickle planted in any artifact is never executed: no code of ours can load one."""
    loaders = re.compile(r"\b(pickle|cloudpickle|joblib|dill|marshal|shelve)\b|allow_pickle|torch\.(load|jit|export)|read_pickle|"
                         r"yaml\.load\(|\beval\(|\bexec\(")
    for package in ("lake", "features", "funnel", "training", "publishing", "validation", "simulation", "jobs", "dags"):
        for path in (JOBS.parent / package).glob("*.py"):
            tree = ast.parse(path.read_text())
            used = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            used |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
            used |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            found = [name for name in used if loaders.search(f"{name}(") and ".eval(" not in f"{name}("]
            assert not found, f"{path}: {found} runs code that a file holds; load bytes as JSON, Parquet or safetensors"
