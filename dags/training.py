"""# training: a new model, every Monday

The run of day D (its logical date, a Monday, 00:00 UTC) fits on everything that had arrived before D - 7 days, judges
the whole funnel on the seven days that followed, and, when that passes the gate, refits on everything before D and
promotes it. `make train AS_OF=D` runs the same commands.

- **wait** commits nothing. *Red*: as in `nightly`: land the day that the log names, then clear.
- **build** commits every table up to training_examples, for D and for D - 7. *Red* with exit code 3: a check refused
  the data; the log names it. Otherwise Spark lacked memory or disk: clear it.
- **audit** commits nothing; it proves that no example and no judged weight knows what came after it. *Red* with exit
  code 3: the log names the view and the column, or the model. Mend the code, raise the table's version, clear `build`.
- **train** commits the model, and an entry in the promotion log. *Red* means that it broke, not that the model lost:
  a model that fails the gate is a green task whose log says why. Clear it: one training identity registers one version.

**Red or lost, nights go on**: `nightly` uses the newest promotion that is not younger than its own day, and publishes
the best baseline while there is none.

**Backfill**: `airflow backfill create --dag-id training --from-date 2026-01-05 --to-date 2026-02-02`. A training older
than the last promotion is judged and kept, but never promoted. **Roll back** a bad model by rolling back its release
(`python -m jobs.rollback`) and read why it won: the judging run is tagged on the version in MLflow (`make ui`).
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable

from dags.command import AS_OF, Command, as_of

HOURS = 60
TABLES = (
    "events", "tiles", "feature_snapshots", "catalogue", "histories", "popularity", "labels", "training_examples",
)  # fmt: skip

with DAG(
    "training",
    doc_md=__doc__,
    description="A model, judged on the week it has not seen, promoted when it wins",
    schedule=CronTriggerTimetable("0 0 * * 1", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    tags=["nightreel", "weekly"],
    user_defined_macros={"as_of": as_of},
    params={"as_of": AS_OF},
    default_args={"retries": 1, "retry_delay": timedelta(minutes=1)},
) as training:
    DAY = "--as-of {{ as_of(params, dag_run) }}"

    wait = Command(task_id="wait", command=f"jobs.wait {DAY} --timeout {6 * HOURS * 60}", minutes=6 * HOURS + 10)
    build = Command(task_id="build", command=f"jobs.training_tables {DAY}", writes=TABLES, minutes=3 * HOURS)
    audit = Command(task_id="audit", command=f"jobs.audit {DAY} --training", minutes=HOURS)
    train = Command(task_id="train", command=f"jobs.train {DAY}", writes=("model",), minutes=4 * HOURS)

    wait >> build >> audit >> train
