"""Test combinations of Python and Django; `scripts/matrix` runs them.

`oldest` pairs the oldest Python present with Django 5.2 and the lower bounds of
pyproject.toml, `newest` the newest Python present with Django 6.1. The other sessions, tagged
`matrix`, are all supported pairs. What is not present is skipped, and says so.
"""

import subprocess
import tomllib
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["oldest", "newest"]

ROOT = Path(__file__).parent
SUPPORTED = {
    "3.11": ["5.2"],
    "3.12": ["5.2", "6.0", "6.1"],
    "3.13": ["5.2", "6.0", "6.1"],
    "3.14": ["5.2", "6.0", "6.1"],
}


def present() -> dict[str, str]:
    """Return the interpreters of this machine by version, oldest first."""
    found = subprocess.run([ROOT / "scripts" / "pythons"], check=True, capture_output=True)
    lines = [line.split(" ", 1) for line in found.stdout.decode().splitlines()]
    return {version: path for version, path in reversed(lines) if version in SUPPORTED}


def lower_bounds() -> list[str]:
    """Return the oldest version of every runtime dependency that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = ("redis", "server", "crypto", "metrics")
    bounds = []
    for text in [*project["dependencies"], *(line for extra in runtime for line in extras[extra])]:
        requirement = Requirement(text)
        if requirement.name == "Django":
            continue
        (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
        marker = f"; {requirement.marker}" if requirement.marker else ""
        bounds.append(f"{requirement.name}=={bound}{marker}")
    return bounds


def run_tests(session: nox.Session, django: str, *constraints: str) -> None:
    """Install the project with its test extra and run the tests that need no browser."""
    file = Path(session.create_tmp()) / "constraints.txt"
    file.write_text("\n".join([f"Django~={django}.0", *constraints]) + "\n")
    session.install("--quiet", "--constraint", str(file), "--editable", ".[test]")
    versions = (
        "import platform, asgiref, django, ormsgpack, uvicorn, websockets;"
        "print('Python', platform.python_version(), '- Django', django.__version__,"
        "'- asgiref', asgiref.__version__, '- ormsgpack', ormsgpack.__version__,"
        "'- uvicorn', uvicorn.__version__, '- websockets', websockets.__version__)"
    )
    session.run("python", "-c", versions, log=False)
    environment = dict.fromkeys(("DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH"))
    arguments = ["-m", "not browser", "-p", "no:cacheprovider"]
    arguments += ["--numprocesses", "4", "--dist", "loadfile", *session.posargs]
    session.run("python", "-m", "pytest", *arguments, env=environment)


PRESENT = present()


@nox.session(python=next(iter(PRESENT.values()), None))
def oldest(session: nox.Session) -> None:
    """Test on the oldest Python present, Django 5.2 and the lower bounds."""
    run_tests(session, "5.2", *lower_bounds())


@nox.session(python=next(reversed(PRESENT.values()), None))
def newest(session: nox.Session) -> None:
    """Test on the newest Python present, Django 6.1 and the newest of everything."""
    version = next(reversed(PRESENT), "3.11")
    if "6.1" not in SUPPORTED[version]:
        session.skip(f"Django 6.1 needs Python 3.12; the newest here is {version}")
    run_tests(session, "6.1")


def declare(version: str, django: str) -> None:
    """Declare the session for one pair."""

    def pair(session: nox.Session) -> None:
        if version not in PRESENT:
            session.skip(f"there is no Python {version} here")
        run_tests(session, django)

    pair.__doc__ = f"Test on Python {version} and Django {django}."
    name = f"py{version}-django{django}"
    nox.session(pair, python=PRESENT.get(version), name=name, tags=["matrix"], default=False)


for supported, djangos in SUPPORTED.items():
    for each in djangos:
        declare(supported, each)
