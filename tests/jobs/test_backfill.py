"""`make backfill` where Airflow's SQLite is busy: what is tried again, and what is said at once. With the answers that
Airflow 3.3 gives; `make chaos ARGS=backfill-while-the-database-is-locked` asks the real one."""

import pytest

from jobs import backfill

LOCKED = (1, "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) database is locked\n")
BARRED = (1, "airflow.models.backfill.AlreadyRunningBackfill: Another backfill is running for Dag nightly.\n")
UNKNOWN = (1, "airflow.exceptions.DagNotFound: Could not find dag nightly\n")
WELL = (0, "done\n")
WARNED = (0, "retrying: database is locked\ndone\n")
DAYS = ["--from", "2026-02-03", "--to", "2026-02-05"]


@pytest.fixture
def asked(monkeypatch):
    """Answers to give, and the commands that were asked."""
    answers, commands = [], []
    monkeypatch.setattr(backfill, "EVERY_S", 0)
    monkeypatch.setattr(backfill, "_airflow", lambda *argv: commands.append(argv[0]) or answers.pop(0))
    return answers, commands


@pytest.mark.parametrize(("given", "created"), [
    ([WELL, WELL], True), ([LOCKED, WELL, WELL], True), ([WELL, LOCKED, BARRED, BARRED, WELL], True),
    ([WELL, WARNED], True), ([WELL, BARRED], False), ([UNKNOWN], False), ([WELL, LOCKED, UNKNOWN], False),
    ([WELL, *[LOCKED] * backfill.TRIES], False), ([LOCKED] * backfill.TRIES, False)])
def test_only_a_busy_database_is_asked_again(asked, given, created):
    answers, commands = asked
    answers += given
    if created:
        backfill.main(DAYS)
    else:
        with pytest.raises(SystemExit, match="the backfill was not created"):
            backfill.main(DAYS)
    assert not answers and commands.count("backfill") + commands.count("dags") == len(given)
