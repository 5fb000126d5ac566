"""# nightly: tomorrow's recommendations, every night

The run of day D (its logical date, 00:00 UTC) sees exactly what had arrived before D and ends in one release of D.
Every task but training_ended is a command line; its log begins with the line to type in a terminal (`make night AS_OF=D`
runs them all).

- **wait** commits nothing. *Red*: day D-1, or one before it, was never landed; the log names it. Land it
  (`python -m jobs.land …`; an empty day counts), then clear this task. It waits 6 hours; only a killed wait is retried.
- **features** commits events and tiles, from landed rows, then feature_snapshots, catalogue, histories and popularity.
  *Red* with exit code 3: rows were refused; the log names the check and the data docs show it. Mend the landing, then
  clear. Otherwise Spark lacked memory or disk: clear it.
- **training_ended** commits nothing; on a day that has a run of `training` it waits until that ends, either way.
  *Red* after 8 hours: look at the run of `training`, then clear.
- **ann_index** commits ann_index, from the model that D may use. *Red* with exit code 3: recall stayed under its
  floor, or the model's files don't match their hashes; the log says which.
- **recommendations** commits recommendations and fallback. *Red* with exit code 3: a check on the lists failed.
- **audit** commits nothing; it proves that the night knew nothing of its future. *Red* with exit code 3: it did, or
  what it would serve is not what the log says; the log names the view and the column. Nothing was released. Look at
  the last change to the code that makes the first table named, mend it, raise that table's version, clear `features`.
- **release** commits the release, and from then on readers see D. *Red*: they see the old one, whole. Clear it: a
  second attempt finds the release or makes it.
- **report** writes the page about the release, which is live whatever this task does. *Red*: clear it.

**Nothing half-done is ever visible.** Each command commits at its end or not at all, an existing result is found and
reused, so clearing any task, or the whole run, is always safe and never doubles anything.

**Backfill** (both days included; runs them oldest first): `make backfill FROM=2026-02-03 TO=2026-02-05`, or
`airflow backfill create --dag-id nightly --from-date 2026-02-03 --to-date 2026-02-05 --reprocess-behavior failed
--max-active-runs 1`. An old day is computed and kept, but a day older than the live release is never released by itself.

**Roll back** (to the release before, or to one by number): `python -m jobs.rollback [--to NUMBER]`. It is a new
release of old tables, without the videos blocked since. Clearing the bad night does not bring it back.

**By hand**: trigger with a logical date, or with the param `as_of`, which wins. With neither, the first task says so.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, task

from dags.command import AS_OF, Command, as_of, midnight

HOURS = 60
TABLES = ("events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity")

with DAG(
    "nightly",
    doc_md=__doc__,
    description="The recommendations of a day, from its log to a release",
    # No start date: any past day can be run. Switched on for the first time, it starts with the next midnight.
    schedule=CronTriggerTimetable("0 0 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["nightreel", "daily"],
    user_defined_macros={"as_of": as_of},
    params={
        "as_of": AS_OF,
        "k": Param(50, type="integer", minimum=1, maximum=1000, description="Length of a published list."),
        "active_days": Param(
            0,
            type="integer",
            minimum=0,
            maximum=36500,
            description="Only users who played in this many days before as_of; 0 means every user.",
        ),
    },
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
) as nightly:
    DAY = "--as-of {{ as_of(params, dag_run) }}"
    LISTS = "--k {{ params.k }} --active-days {{ params.active_days }}"

    wait = Command(task_id="wait", command=f"jobs.wait {DAY} --timeout {6 * HOURS * 60}", minutes=6 * HOURS + 10)
    features = Command(
        task_id="features",
        command=f"jobs.build {' '.join(TABLES)} {DAY}",
        writes=TABLES,
        minutes=3 * HOURS,
    )

    @task.sensor(
        mode="reschedule",
        poke_interval=30,
        timeout=8 * HOURS * 60,
        retries=2,
        execution_timeout=timedelta(minutes=5),
    )
    def training_ended(day: str, ti: object) -> bool:
        """A training of the same day, where there is one, has ended, well or not: the night uses what was promoted."""
        of_that_day = {"dag_id": "training", "logical_dates": [midnight(day)]}
        return ti.get_dr_count(**of_that_day) == ti.get_dr_count(**of_that_day, states=["success", "failed"])

    ann_index = Command(task_id="ann_index", command=f"jobs.ann_index {DAY}", writes=("ann_index",), minutes=HOURS)
    recommendations = Command(
        task_id="recommendations",
        command=f"jobs.recommendations {DAY} {LISTS}",
        writes=("recommendations", "fallback"),
        minutes=3 * HOURS,
    )
    audit = Command(task_id="audit", command=f"jobs.audit {DAY} {LISTS}", minutes=HOURS)
    release = Command(
        task_id="release", command=f"jobs.release {DAY} {LISTS}", writes=("release",), minutes=HOURS, retries=2
    )
    report = Command(task_id="report", command=f"jobs.report {DAY}", minutes=HOURS, retries=2)

    wait >> features >> training_ended("{{ as_of(params, dag_run) }}") >> ann_index
    ann_index >> recommendations >> audit >> release >> report
