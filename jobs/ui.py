"""Airflow and MLflow in a browser, on this machine only, until Ctrl-C.

    python -m jobs.ui

`make ui` runs it. It prints the addresses, and the password of Airflow's administrator. Where `MLFLOW_TRACKING_URI`
names a server, models are looked at there, and none is started here.
"""

import os
import sys
import time
from pathlib import Path

from jobs import local_airflow, with_airflow
from jobs.local_airflow import API_SERVER, DAG_PROCESSOR, SCHEDULER, TRIGGERER


def mlflow_command(port: int) -> list[str]:
    """MLflow's server over the same store that training writes to."""
    from training import registry

    store = registry.tracking_uri()
    if store.startswith("sqlite:///"):
        Path(store.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store,
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip


def tracking_server() -> str:
    """The server that MLFLOW_TRACKING_URI names, without a password; empty where it names a store or nothing."""
    from training import registry

    uri = registry.tracking_uri()
    return registry.LOGIN.sub("", uri) if uri.startswith(("http://", "https://")) else ""


def main() -> int:
    environment = {**os.environ, **with_airflow.environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    port, server = with_airflow.free_port(5000), tracking_server()
    with local_airflow.running((SCHEDULER, DAG_PROCESSOR, API_SERVER, TRIGGERER)) as airflow:
        mlflow = [] if server else [local_airflow.start(mlflow_command(port), environment, "mlflow")]
        try:
            print(f"Airflow  {airflow.url}   user {with_airflow.USER}   password {with_airflow.password()}")
            print(f"MLflow   {server or f'http://127.0.0.1:{port}'}")
            print("What runs here listens on this machine only. Ctrl-C stops it.", flush=True)
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("\nstopping")
        finally:
            local_airflow.stop(mlflow)
    return 0


if __name__ == "__main__":
    sys.exit(main())
