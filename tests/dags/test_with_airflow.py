"""What Airflow is started with: secrets stay in files of their owner, nothing listens beyond this machine."""

import configparser
import socket
import stat
from pathlib import Path

import psutil
import pytest

from jobs import airflow_progress, local_airflow, ui, with_airflow
from tests.faults import orchestration


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "world"))
    for name in ("NIGHTREEL_AIRFLOW_PORT", "AIRFLOW__API_AUTH__JWT_SECRET_CMD", "AIRFLOW__API__SECRET_KEY_CMD",
                 "AIRFLOW__CORE__FERNET_KEY_CMD", "AIRFLOW_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "world" / "airflow"


def test_secrets_are_made_once_for_their_owner_and_are_not_in_the_environment(home: Path):
    first, word = with_airflow.environment(), with_airflow.password()
    assert (with_airflow.environment(), with_airflow.password()) == (first, word)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for file in home.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, f"{file.name} can be read by others"
        assert file.read_text() not in first.values() and word not in "".join(first.values())


def test_a_secret_that_the_environment_names_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET_CMD", "cat /run/secrets/jwt")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "shared by all machines")
    made = with_airflow.environment().keys()
    assert not {"AIRFLOW__API_AUTH__JWT_SECRET_CMD", "AIRFLOW__CORE__FERNET_KEY_CMD"} & made
    assert not (home / "jwt_secret").exists() and not (home / "fernet_key").exists() and (home / "api_secret").exists()


def test_two_homes_never_share_a_secret(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    first, word = with_airflow.environment(), with_airflow.password()
    for name, value in first.items():  # a shell that lives in the first home
        monkeypatch.setenv(name, value)
    again = with_airflow.environment()
    assert again == first | {name: again[name] for name in ("PATH", "PYTHONPATH")}
    monkeypatch.setenv("NIGHTREEL_HOME", str(tmp_path / "other"))
    other = with_airflow.environment()
    secrets = [name for name in first if name.endswith("_CMD")]
    assert len(secrets) == 3 and not {first[name] for name in secrets} & {other[name] for name in secrets}
    assert with_airflow.password() != word


@pytest.mark.parametrize(("uri", "server"), [
    ("https://me:hunter2@mlflow.example.org/m", "https://mlflow.example.org/m"), ("http://127.0.0.1:5000",) * 2,
    ("http://me:hunter@2@127.0.0.1:5000", "http://127.0.0.1:5000"),
    ("sqlite:////var/mlflow.db", ""), ("", "")])
def test_a_tracking_server_is_named_without_its_password(uri: str, server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert ui.tracking_server() == server


def test_a_lake_in_an_object_store_keeps_airflow_on_a_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NIGHTREEL_HOME", "s3://bucket/nightreel")
    assert with_airflow.airflow_home() == with_airflow.ROOT / "var" / "airflow"


def test_a_taken_port_is_passed_over(home: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert with_airflow.free_port(number) > number


def test_the_settings_keep_airflow_on_this_machine_and_behind_a_password():
    settings = configparser.RawConfigParser()
    settings.read(with_airflow.ROOT / "airflow.cfg")
    assert settings["api"]["host"] == "127.0.0.1", "the API server must not listen to the network by default"
    assert settings["core"]["execution_api_server_url"].startswith("http://127.0.0.1:")
    assert settings["core"]["simple_auth_manager_all_admins"] == "False", "never everyone an administrator"
    assert settings["core"]["load_examples"] == "False"
    assert settings["core"]["default_task_execution_timeout"], "no task may hang for ever"


def test_what_a_killed_service_left_behind_is_ended_with_it(home: Path):
    service = local_airflow.start(["sh", "-c", "sleep 300 & echo $!; wait"], {"AIRFLOW_HOME": str(home)}, "scheduler")
    said = home / "logs/scheduler.log"
    orchestration.until("it started", lambda: said.read_text().endswith("\n"), 10)
    left = psutil.Process(int(said.read_text()))
    service.kill()
    service.wait()
    assert left.is_running()
    local_airflow.stop([service])
    assert not left.is_running()


def test_progress_is_told_in_one_line():
    lines = [
        "events 2026-01-31: 12,345 rows, 3.2 s",
        "tiles 2026-01-30: 5 rows, 0.1 s",
        "tiles 2026-01-31: 7 rows, 0.1 s",
        "release 2026-02-05: release 3 is live; 100 rows, 0.2 s",
        "WARN something else",
    ]
    told = "events 12,345 rows · tiles 7 rows (last of 2) · release 3 is live; 100 rows, 0.2 s"
    assert airflow_progress.row_counts(lines) == told


def test_the_cause_is_read_from_a_task_log(tmp_path: Path):
    log = tmp_path / "attempt=1.log"
    log.write_text(
        '{"event": "::group::Pre Execute"}\n{"event": "reading"}\nnot json\n'
        '{"event": "Task failed with exception", "error_detail": [{"exc_value": "refused: too few rows\\nat all"}]}\n'
    )
    assert airflow_progress.last_events(log, 3) == ["Task failed with exception", "refused: too few rows", "at all"]
