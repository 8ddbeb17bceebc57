"""The JavaScript of the introduction, in a browser, against its consumers."""

import asyncio

import pytest
from playwright.async_api import Dialog

from achannels import Message, route
from achannels.asgi import Application
from achannels.testing import LiveServer
from tests.e2e.browser import chromium, needs_chromium
from tests.seed.snippets import PRINTED, Spelling, module, snippet

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> None:
    """Playwright looks at files on the event loop."""


async def page(message: Message) -> None:
    content = {"headers": [(b"content-type", b"text/html")], "content": b"<!doctype html><p>Hi"}
    await message.reply_channel.send({"status": 200, **content})


@pytest.mark.parametrize(
    ("consumers", "routing", "alert"),
    [("echo", "echo routing", "hello world"), ("chat", "chat routing", "[user] hello world")],
)
async def test_the_page_alerts_what_comes_back(
    spelling: Spelling, consumers: str, routing: str, alert: str
) -> None:
    module("myapp.consumers", snippet(consumers, spelling))
    made = module("myproject.routing", snippet(routing))
    application = Application([*made.channel_routing, route("http.request", page)])
    async with LiveServer(application) as server, chromium() as browser:
        tab = await browser.new_page()
        shown = asyncio.get_running_loop().create_future()

        async def take(dialog: Dialog) -> None:
            shown.set_result(dialog.message)
            await dialog.accept()

        tab.on("dialog", take)
        await tab.goto(server.url)
        await tab.evaluate(PRINTED["page"])
        assert await shown == alert
