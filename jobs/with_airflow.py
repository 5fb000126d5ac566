"""Run a command with this project's Airflow around it: one place that says what Airflow sees.

    python -m jobs.with_airflow airflow dags list
    eval "$(python -m jobs.with_airflow)"          the same settings for the shell one is in

`make`, CI, the demo, the UI and the tests all take Airflow's environment from here. Secrets (the keys Airflow signs and
encrypts with, the administrator's password) are made once per home into AIRFLOW_HOME, readable by their owner only; the
environment carries the commands that read them, never the secrets.
"""

import base64
import contextlib
import json
import os
import secrets
import shlex
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
USER = "admin"


def airflow_home() -> Path:
    """Airflow's own folder: under NIGHTREEL_HOME, or ./var where that is an object store."""
    home = nightreel_home()
    return (ROOT / "var" if "://" in home else Path(home)) / "airflow"


def nightreel_home() -> str:
    """NIGHTREEL_HOME (default ./var), absolute so that it means the same wherever a task runs."""
    home = os.environ.get("NIGHTREEL_HOME") or str(ROOT / "var")
    return home if "://" in home else str(Path(home).resolve())


def environment() -> dict[str, str]:
    """The variables to add to one's own; creates AIRFLOW_HOME and its secrets where they are missing."""
    home = airflow_home()
    python = sys.executable
    return {
        "NIGHTREEL_ROOT": str(ROOT),
        "NIGHTREEL_HOME": nightreel_home(),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(ROOT / "airflow.cfg"),
        "NIGHTREEL_AIRFLOW_PORT": str(port(home)),
        **_secret("AIRFLOW__API_AUTH__JWT_SECRET", home / "jwt_secret", secrets.token_urlsafe(48)),
        **_secret("AIRFLOW__API__SECRET_KEY", home / "api_secret", secrets.token_urlsafe(48)),
        **_secret("AIRFLOW__CORE__FERNET_KEY", home / "fernet_key", _fernet_key()),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PATH": os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", os.defpath)]),
        "PYSPARK_PYTHON": python,
        "PYSPARK_DRIVER_PYTHON": python,
        "PYTHONUNBUFFERED": "1",
        # Airflow forks its tasks; on macOS the system's proxy look-up crashes in a fork.
        "NO_PROXY": os.environ.get("NO_PROXY", "127.0.0.1,localhost"),
        # Nothing here calls home.
        "DO_NOT_TRACK": "1",
        "SCARF_ANALYTICS": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "false",
    }


def password() -> str:
    """The administrator's password, made at the first call for this home."""
    kept = _kept(airflow_home() / "simple_auth_manager_passwords.json", json.dumps({USER: secrets.token_urlsafe(12)}))
    return json.loads(kept.read_text())[USER]


def port(home: Path) -> int:
    """NIGHTREEL_AIRFLOW_PORT, else the port that this home's running Airflow took, else a free one from 8080 on."""
    asked, running = os.environ.get("NIGHTREEL_AIRFLOW_PORT"), home / "port"
    if asked:
        return int(asked)
    if running.exists():
        return int(running.read_text())
    return free_port(8080)


def free_port(first: int) -> int:
    """The first port from `first` on that nothing on this machine's loopback listens to."""
    for candidate in range(first, first + 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)) != 0:
                return candidate
    raise SystemExit(f"error: no free port between {first} and {first + 99}; set NIGHTREEL_AIRFLOW_PORT")


def _secret(name: str, path: Path, fresh: str) -> dict[str, str]:
    """The command that reads a secret of this home; nothing where the environment names another, as machines that share
    an Airflow must. What an earlier call put there, of this home or another, is no other."""
    earlier = _reading(Path(os.environ.get("AIRFLOW_HOME", "")) / path.name)
    if any(os.environ.get(f"{name}{way}", earlier) != earlier for way in ("", "_CMD", "_SECRET")):
        return {}
    return {f"{name}_CMD": _reading(_kept(path, fresh))}


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def _kept(path: Path, fresh: str) -> Path:
    """The file; when there is none it appears, whole and for its owner only, with `fresh` in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        half = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(fresh)
        with contextlib.suppress(FileExistsError):
            os.link(half, path)
        half.unlink()
    return path


def _reading(path: Path) -> str:
    return shlex.join(["cat", str(path)])


def main(argv: list[str]) -> None:
    """Replace this process by the command, or print `export` lines when there is none."""
    settings = environment()
    password()
    if not argv:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items()))
        return
    os.environ.update(settings)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        raise SystemExit(f"error: can't run {argv[0]}: {error.strerror}. Is .venv complete? Run: make setup") from None


if __name__ == "__main__":
    main(sys.argv[1:])
