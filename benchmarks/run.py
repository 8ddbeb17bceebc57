"""Repeat the whole table with one command: `python benchmarks/run.py`.

Uses the interpreter that runs it when the peers are installed there. Otherwise it makes
`.benchmarks/venv` beside the package once, installs `requirements.txt` and this checkout into
it, and uses that one. The options are those of `python -m benchmarks`.
"""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = ROOT / ".benchmarks"
NEEDED = (
    *("channels", "channels_redis", "django", "hiredis", "httptools"),
    *("redis", "uvicorn", "uvloop", "websockets"),
)


def made_interpreter() -> Path:
    """Return the interpreter of `.benchmarks/venv`, making the environment when it is missing."""
    home = WORKSPACE / "venv"
    interpreter = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        WORKSPACE.mkdir(exist_ok=True)
        (WORKSPACE / ".gitignore").write_text("*\n")
        venv.create(home, with_pip=True, clear=True)
        requirements = str(ROOT / "benchmarks" / "requirements.txt")
        command = [str(interpreter), "-m", "pip", "install", "--quiet"]
        subprocess.run([*command, "-r", requirements, "-e", str(ROOT)], check=True)
        ready.touch()
    return interpreter


def main() -> None:
    """Replace this process by the benchmarks, under an interpreter that has the peers."""
    here = all(importlib.util.find_spec(name) for name in NEEDED)
    interpreter = sys.executable if here else str(made_interpreter())
    os.chdir(ROOT)
    os.execv(interpreter, [interpreter, "-m", "benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    main()
