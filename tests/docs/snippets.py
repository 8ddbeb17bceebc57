"""The Python blocks of the documentation, run as a reader would put them together.

A page is read from the top: its blocks run one after the other, and a block sees the names of those
before it. A block with a title is a file: it runs by itself as a module that the blocks after it can
import, and its names are the page's too; a second block of the same title goes on in that file.

A block after the comment `<!-- compiled only -->` is not run.
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from types import CodeType, ModuleType

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"^(?P<only><!-- compiled only -->\n)?"
    r"(?P<indent> *)```python(?P<options>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_TITLE = re.compile(r'title="(?P<path>[\w/.]+)\.py"')
_INCLUDE = re.compile(r'^--8<-- "(?P<path>[^"]+)"$', re.MULTILINE)

_STARTPROJECT: dict[str, object] = {"INSTALLED_APPS": []}
"""Names of the settings that a page adds to."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        place: Page and line, for the names of tests and for tracebacks.
        module: Dotted name of the file that its title names; empty without a title.
        text: The Python in it.
        is_run: It may run by itself.
    """

    place: str
    module: str
    text: str
    is_run: bool

    def compile(self) -> CodeType:
        """Return its code; line numbers are those of the page."""
        page, _, line = self.place.rpartition(":")
        return compile("\n" * (int(line) - 1) + self.text, page, "exec")


def _blocks(page: str, text: str) -> list[Block]:
    found = []
    for match in _BLOCK.finditer(text):
        title = _TITLE.search(match["options"])
        found.append(
            Block(
                f"{page}:{text.count(chr(10), 0, match.start('text')) + 1}",
                title["path"].replace("/", ".") if title else "",
                _INCLUDE.sub(
                    lambda found: (ROOT / found["path"]).read_text(), dedent(match["text"])
                ),
                is_run=match["only"] is None,
            )
        )
    return found


TEXTS: dict[str, str] = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
}
"""The text of each page, by its path in the repository."""

PAGES: dict[str, list[Block]] = {
    page: blocks for page, text in TEXTS.items() if (blocks := _blocks(page, text))
}
"""The blocks of each page that has any."""


_files: list[str] = []


def run(page: str) -> ModuleType:
    """Run the blocks of a page and return a module with all their names."""
    made = ModuleType(page)
    vars(made).update(_STARTPROJECT)
    for block in PAGES[page]:
        if not block.is_run:
            continue
        if block.module:
            written = file(block.module)
            exec(block.compile(), vars(written))
            vars(made).update(_names(written))
        else:
            exec(block.compile(), vars(made))
    return made


def file(name: str) -> ModuleType:
    """Return the module of a file, made with its packages if it is not there yet."""
    if name not in sys.modules:
        package, _, last = name.rpartition(".")
        made = sys.modules[name] = ModuleType(name)
        _files.append(name)
        if package:
            setattr(file(package), last, made)
        if last == "settings":
            vars(made).update(_STARTPROJECT)
    return sys.modules[name]


def forget_files() -> None:
    """Forget all modules that `file` made."""
    for name in _files:
        del sys.modules[name]
    _files.clear()


def _names(module: ModuleType) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}
