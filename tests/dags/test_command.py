"""What the operator makes of a command's output, its exit code, and of being told to stop."""

import contextlib
import threading
import time
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def task(dags):
    """A task that runs tests.dags.pretend with the given arguments."""
    from dags.command import Command

    def make(*arguments: str):
        made = Command(task_id="pretend", command="tests.dags.pretend", minutes=1)
        made.command += list(arguments)
        return made

    return make


def test_progress_lines_are_kept_and_the_rest_is_only_logged(task):
    line = "events 2026-01-31: 12,345 rows, 3.2 s"
    assert task("0", "--say", "hello", line, "$(echo 2026-01-31: no)").execute({}) == [line]


def test_values_stay_whole(task):
    line = "events 2026-01-31: a b; c"
    assert task("0", "--say", "", line).execute({}) == [line]


@pytest.mark.parametrize("code", [2, 3])
def test_a_refusal_fails_without_a_retry_and_names_the_cause(task, code):
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="refused: recall 0.5") as failed:
        task(str(code), "--say", "refused: recall 0.5").execute({})
    assert f"exit code {code}" in str(failed.value)


@pytest.mark.parametrize("code", [1, 99, 137])
def test_anything_else_may_be_tried_again(task, code):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException, match=f"exit code {code}") as failed:
        task(str(code), "--say", "out of memory").execute({})
    assert not isinstance(failed.value, AirflowFailException)


@pytest.mark.parametrize(("code", "told"), [
    ("-9", "killed by SIGKILL: .* memory ran out"), ("-11", "by SIGSEGV: a library crashed"), ("-15", "by SIGTERM")])
def test_a_signal_is_named_and_may_be_tried_again(task, code, told):
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with pytest.raises(AirflowException, match=told) as failed:
        task(code, "--say", "half-way").execute({})
    assert "half-way" in str(failed.value) and not isinstance(failed.value, AirflowFailException)


def test_being_stopped_ends_the_command_and_what_it_started(task, tmp_path: Path):
    from airflow.sdk.exceptions import AirflowException

    told, running = tmp_path / "pid", task("0", "--child", str(tmp_path / "pid"))

    def run() -> None:
        with contextlib.suppress(AirflowException):
            running.execute({})

    thread = threading.Thread(target=run)
    thread.start()
    end = time.monotonic() + 20
    while not (told.exists() and told.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    running.on_kill()
    thread.join(timeout=20)
    assert ended(int(told.read_text()), within_s=10)


def ended(pid: int, within_s: float) -> bool:
    """Whether a process is gone, or only waits for somebody to read its exit code, before time is up."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
