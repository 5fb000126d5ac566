"""A stand-in for a command of jobs/: says what it is told, starts a child where asked, and ends with a given exit code,
or, where that is negative, by that signal.

python -m tests.dags.pretend EXIT_CODE [--child PATH] [--say TEXT …]
"""

import os
import subprocess
import sys
from pathlib import Path

code, rest = int(sys.argv[1]), sys.argv[2:]
if rest[:1] == ["--child"]:
    child = subprocess.Popen(["sleep", "300"])
    Path(rest[1]).write_text(str(child.pid))
    child.wait()
for text in rest[1:]:
    print(text, flush=True)
if code < 0:
    os.kill(os.getpid(), -code)
sys.exit(code)
