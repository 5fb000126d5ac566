"""# maintenance: what nobody needs any more goes, every Sunday

- **clean** commits nothing. It keeps the live release, the pinned ones (`python -m jobs.releases --pin NUMBER`) and the
  newest 30 with all they name, everything landed, and what the nights and trainings to come begin with. The log says
  what went and how many bytes. *Red*: clear it; killed anywhere, it leaves every listed release whole.

A release leaves the list first and its tables a week later, so that readers that have it open finish. To see what would
go: `python -m jobs.clean --dry-run`. **Backfill**: nothing to do; it looks at what there is now. **Roll back**: only
listed releases can be gone back to; pin what must stay.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

from dags.command import Command

with DAG(
    "maintenance",
    doc_md=__doc__,
    description="Releases and tables that nobody needs any more go",
    schedule=CronTriggerTimetable("0 0 * * 0", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["nightreel", "weekly"],
    params={"keep": Param(30, type="integer", minimum=1, maximum=10_000, description="Releases that stay.")},
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
) as maintenance:
    Command(task_id="clean", command="jobs.clean --keep {{ params.keep }}", minutes=120)
