"""The snippets of `snippets.md`, with the imports of today, as `def` and as `async def`."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Literal

Spelling = Literal["def", "async def"]

TEXT = (Path(__file__).parent / "snippets.md").read_text()
PRINTED: dict[str, str] = dict(
    re.findall(r"^## ([^\n]+)\n\n```\w+\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
)

IMPORTS = {
    "from channels import Group": "from achannels.sync import Group",
    "from channels.sessions import channel_session": (
        "from achannels.sessions import channel_session"
    ),
    "from channels.routing import route": "from achannels import route",
    "from channels.handler import": "from achannels.legacy.handler import",
}
"""Lines of Channels 1.x, and what is written instead. Nothing else of a snippet is changed."""

ASYNC = {
    r"^from achannels\.sync import": "from achannels import",
    r"^from achannels\.legacy\.handler import AsgiHandler": (
        "from achannels.django.handler import encode_response"
    ),
    r"^def ": "async def ",
    r"^( *)for chunk in AsgiHandler\.": r"\1async for chunk in ",
    r"^( *)(Group\(|message\.reply_channel\.)": r"\1await \2",
}
"""What makes an `async def` of it."""


def snippet(name: str, spelling: Spelling = "def") -> str:
    """Return the text of a snippet."""
    return today(PRINTED[name], spelling)


def today(text: str, spelling: Spelling) -> str:
    """Return a text of Channels 1.x as it is written today."""
    for before, after in IMPORTS.items():
        text = text.replace(before, after)
    if spelling == "async def":
        for pattern, replacement in ASYNC.items():
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def module(name: str, *texts: str, **names: object) -> ModuleType:
    """Run texts one after the other as a module that can be imported from now on.

    Args:
        name: Its dotted name; the packages around it are made.
        *texts: What stands in it.
        **names: What is in it before.
    """
    package, _, _ = name.rpartition(".")
    if package and package not in sys.modules:
        sys.modules[package] = ModuleType(package)
    made = sys.modules[name] = ModuleType(name)
    vars(made).update(names)
    for text in texts:
        exec(compile(text, f"<{name}>", "exec"), vars(made))
    return made


def forget_modules() -> None:
    """Forget the modules of the snippets."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("myapp", "myproject"):
            del sys.modules[name]
