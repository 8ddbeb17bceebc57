"""A process with one socket in a group, whose client does not read. It says the socket's channel."""

import asyncio
import sys

from achannels.testing.layer_suite import Connection
from tests.layers.thirdparty.layer import HubLayer


async def main(path: str, site: str, group: str) -> None:
    layer = HubLayer(path, site=site)
    await layer.open()
    socket = Connection(layer, capacity=1)
    socket.reading = False
    await layer.group_add(group, socket.channel)
    sys.stdout.write(f"{socket.channel}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
