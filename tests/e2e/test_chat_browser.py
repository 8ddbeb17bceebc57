"""`examples/chat` as people see it: two browsers in a room of a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.browser import chromium, needs_chromium
from tests.e2e.conftest import chat_environment
from tests.e2e.server import CHAT, Server, run

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.timeout(40)]

only_runserver = pytest.mark.parametrize("chat", ["runserver"], indirect=True)

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 640},
    "is_mobile": True,
    "has_touch": True,
}

SAID_MEANWHILE = """
from chat.models import Line
Line.objects.create(room_id="lobby", kind=Line.Kind.SAID, name="carla", text="while you were away")
"""


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> None:
    """Playwright looks at files on the event loop."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def enter(browser: Browser, chat: Server, name: str, **options: Any) -> Page:
    """Have somebody open the lobby in a browser of their own, and sign in on the way."""
    context = await browser.new_context(**options)
    page = await context.new_page()
    await page.goto(f"{chat.url}/chat/lobby/")
    await page.get_by_label("Your name").fill(name)
    await page.get_by_role("button", name="Sign in").click()
    await expect(state(page)).to_have_text("Online")
    return page


def state(page: Page) -> Locator:
    return page.get_by_role("status")


def said(page: Page) -> Locator:
    return page.locator(".said .text")


def notes(page: Page) -> Locator:
    return page.locator(".joined > span, .left > span")


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message to #lobby").fill(text)
    await page.get_by_role("button", name="Send").click()


async def test_two_people_talk(chat: Server, browser: Browser) -> None:
    anna = await enter(browser, chat, "anna")
    bert = await enter(browser, chat, "bert", **PHONE)
    for page in (anna, bert):
        await expect(notes(page)).to_have_text(["anna joined", "bert joined"])
    await say(anna, "hi")
    await expect(said(bert)).to_have_text(["hi"])
    await say(bert, "hello anna")
    for page in (anna, bert):
        await expect(said(page)).to_have_text(["hi", "hello anna"])
    await expect(anna.locator(".said.mine .text")).to_have_text(["hi"])
    await expect(bert.locator(".said.mine .text")).to_have_text(["hello anna"])
    await bert.context.close()
    await expect(notes(anna)).to_have_text(["anna joined", "bert joined", "bert left"])


@only_runserver
async def test_pages_come_back_after_a_restart(
    chat: Server, browser: Browser, database: Path
) -> None:
    anna = await enter(browser, chat, "anna")
    bert = await enter(browser, chat, "bert")
    await say(anna, "before")
    await expect(said(bert)).to_have_text(["before"])

    await asyncio.to_thread(chat.stop)
    for page in (anna, bert):
        await expect(page.get_by_role("button", name="Send")).to_be_disabled()
    await anna.get_by_label("Message to #lobby").fill("typed while offline")
    await asyncio.to_thread(
        run,
        "manage.py",
        "shell",
        "-c",
        SAID_MEANWHILE,
        folder=CHAT,
        more=chat_environment(database),
    )
    await asyncio.to_thread(chat.start)

    for page in (anna, bert):
        await expect(state(page)).to_have_text("Online", timeout=15_000)
        await expect(said(page)).to_have_text(["before", "while you were away"])
    await anna.get_by_role("button", name="Send").click()
    await say(bert, "after")
    for page in (anna, bert):
        await expect(said(page)).to_have_count(4)
        words = await said(page).all_text_contents()
        assert words[:2] == ["before", "while you were away"]
        assert sorted(words[2:]) == ["after", "typed while offline"]
        numbers = await page.locator("#lines li").evaluate_all("items => items.map(i => i.value)")
        assert numbers == sorted(set(numbers))
        joined = await page.get_by_text("bert joined").count()
        assert joined == 2, "once before the restart, once after it"


@only_runserver
async def test_what_people_write_stays_text(chat: Server, browser: Browser) -> None:
    attack = "<img src=x onerror=\"document.title = 'hacked'\"><script>alert(1)</script> &amp; "
    anna = await enter(browser, chat, "anna")
    await say(anna, attack)
    await expect(said(anna)).to_have_text([attack.strip()])
    assert await anna.title() == "#lobby · Chat"
    await anna.reload()
    await expect(said(anna)).to_have_text([attack.strip()])
    assert await anna.title() == "#lobby · Chat"
    assert await anna.locator("#lines img, #lines script").count() == 0


@only_runserver
async def test_a_page_whose_log_in_ended_says_so(chat: Server, browser: Browser) -> None:
    anna = await enter(browser, chat, "anna")
    await anna.context.clear_cookies()
    await anna.evaluate("socket.close()")
    await expect(anna.get_by_text("You are signed out.")).to_be_visible(timeout=10_000)
    await anna.get_by_role("link", name="Sign in").click()
    await anna.get_by_label("Your name").fill("anna")
    await anna.get_by_role("button", name="Sign in").click()
    await expect(anna).to_have_url(f"{chat.url}/chat/lobby/")
    await expect(state(anna)).to_have_text("Online")


@only_runserver
async def test_the_room_fits_a_phone(chat: Server, browser: Browser) -> None:
    anna = await enter(browser, chat, "anna", **PHONE)
    await say(anna, "wide" * 100)
    await expect(said(anna)).to_have_count(1)
    for number in range(20):
        await say(anna, f"line {number}")
    await expect(said(anna)).to_have_count(21)
    assert await anna.evaluate("document.documentElement.scrollWidth") == 360
    assert await anna.evaluate("document.documentElement.scrollHeight") == 640
    await expect(said(anna).last).to_be_in_viewport()
    await anna.set_viewport_size({"width": 360, "height": 400})  # a keyboard
    await expect(said(anna).last).to_be_in_viewport(ratio=1)
    for control in (
        anna.get_by_label("Message to #lobby"),
        anna.get_by_role("button", name="Send"),
        anna.get_by_role("link", name="All rooms"),
    ):
        await expect(control).to_be_in_viewport()
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "a finger needs that much"


@only_runserver
async def test_who_reads_above_is_left_there(chat: Server, browser: Browser) -> None:
    anna = await enter(browser, chat, "anna", **PHONE)
    bert = await enter(browser, chat, "bert")
    for number in range(20):
        await say(bert, f"line {number}")
    await expect(said(anna)).to_have_count(20)
    await anna.locator("#scroll").evaluate("element => { element.scrollTop = 0 }")
    await say(bert, "news")
    await expect(said(anna)).to_have_count(21)
    assert await anna.locator("#scroll").evaluate("element => element.scrollTop") == 0
    await anna.get_by_role("button", name="New lines").click()
    await expect(said(anna).last).to_be_in_viewport()
