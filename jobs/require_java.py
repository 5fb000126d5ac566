"""Spark 4 needs Java 17 or newer: find it, install it where that needs no questions, or name the exact command.

    python3 -m jobs.require_java

Standard library only: `make setup` runs it before anything is installed.
"""

import os
import re
import shutil
import subprocess
import sys

OLDEST = 17
APT = ["apt-get", "install", "-y", "--no-install-recommends", "openjdk-17-jre-headless"]


def found() -> tuple[str, int] | None:
    """The java that Spark would start, $JAVA_HOME's before PATH's, and its major version (0: it would not say)."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    if not java or not os.path.exists(java):
        return None
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', said.stderr + said.stdout)
    return java, int(version.group(1)) if version else 0


def command() -> str:
    """What a person types here to get a Java that is new enough."""
    if shutil.which("brew"):
        home = "$(brew --prefix openjdk@17)/libexec/openjdk.jdk/Contents/Home"
        return f'brew install openjdk@17 && export JAVA_HOME="{home}"'
    if shutil.which("dnf"):
        return "sudo dnf install -y java-17-openjdk-headless   (or java-21-openjdk-headless)"
    if shutil.which("apt-get"):
        return "sudo apt-get update && sudo " + " ".join(APT)
    return "install a Java 17+ runtime, for instance from https://adoptium.net, and set JAVA_HOME to its folder"


def installed() -> bool:
    """Install with apt where that asks nothing (root on Debian or Ubuntu); False where it can't be done or failed."""
    if not (shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0):
        return False
    print("java: none found, installing openjdk-17-jre-headless with apt-get", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return all(
        subprocess.run([*line, "-qq"], env=quiet, check=False).returncode == 0 for line in (APT[:1] + ["update"], APT)
    )


def main() -> int:
    java = found()
    if java is None and not os.environ.get("JAVA_HOME") and installed():
        java = found()
    if java and java[1] >= OLDEST:
        print(f"java: {java[1]} at {java[0]}")
        return 0
    why = f"{java[0]} is version {java[1]}" if java else "no java on PATH or in JAVA_HOME"
    print(
        f"error: Spark needs Java {OLDEST} or newer, and {why}. Run this, then make again:\n    {command()}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
