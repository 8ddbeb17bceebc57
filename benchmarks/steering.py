"""How a measured process is steered: a command a line comes in, and a line of JSON goes out.

The first answer, before any command, says that the process is ready. The end of the input is the
end of the process, so it never outlives the one that started it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator


async def commands() -> AsyncIterator[str]:
    """Yield the commands until the input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    while line := await lines.readline():
        yield line.decode().strip()


def answer(content: dict[str, float]) -> None:
    """Write one line to the process that started this one."""
    print(json.dumps(content), flush=True)
