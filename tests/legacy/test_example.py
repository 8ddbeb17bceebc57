"""`examples/legacy_1x`: a project of 2017, by its own tests and as people see it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e.browser import chromium, needs_chromium
from tests.e2e.server import ROOT, Server, run
from tests.legacy.conftest import IS_TAKEN

SITE = ROOT / "examples" / "legacy_1x"

SERVERS = {
    "runserver": ("manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
    "uvicorn": ("-m", "uvicorn", "oldsite.asgi:channel_layer", "--port", "{port}"),
}

PHONE = {"width": 360, "height": 640}


pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(IS_TAKEN, reason="another package `channels` is installed"),
    pytest.mark.timeout(120),
]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> None:
    """Playwright looks at files on the event loop."""


def environment(database: Path) -> dict[str, str]:
    return {"OLDSITE_DATABASE": str(database), "OLDSITE_REPORT_LIFETIME": "1500"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database as `manage.py migrate` leaves it."""
    path = tmp_path / "oldsite.sqlite3"
    run("manage.py", "migrate", "--verbosity", "0", folder=SITE, more=environment(path))
    return path


# Its tests.


def test_its_tests_pass_under_djangos_runner(tmp_path: Path) -> None:
    said = run("-W", "error", "manage.py", "test", folder=SITE, more=environment(tmp_path / "db"))
    assert "Ran 15 tests" in said
    assert "\nOK\n" in said


def test_its_tests_pass_under_pytest(tmp_path: Path) -> None:
    options = ("--rootdir", ".", "-c", "/dev/null", "-W", "error")
    plugins = ("-p", "no:cacheprovider", "-p", "no:asyncio")
    said = run(
        "-m",
        "pytest",
        *options,
        *plugins,
        "-o",
        "python_files=tests.py",
        "--ds",
        "oldsite.settings",
        ".",
        folder=SITE,
        more=environment(tmp_path / "db"),
    )
    assert "15 passed" in said


# Its database.


def test_its_migrations_are_complete(tmp_path: Path) -> None:
    said = run(
        "manage.py", "makemigrations", "--check", folder=SITE, more=environment(tmp_path / "db")
    )
    assert "No changes detected" in said


def test_what_waits_in_the_table_of_1x_stays(tmp_path: Path) -> None:
    path = tmp_path / "oldsite.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute(
            'CREATE TABLE "channels.delay_delayedmessage" ('
            '"id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "due_date" datetime NOT NULL, '
            '"channel_name" varchar(512) NOT NULL, "content" text NOT NULL)'
        )
        connection.execute(
            'INSERT INTO "channels.delay_delayedmessage" (due_date, channel_name, content) '
            "VALUES ('2017-10-10 12:00:00', 'reports.remove', '{}')"
        )
    connection.close()
    more = environment(path)
    run("manage.py", "migrate", "--verbosity", "0", folder=SITE, more=more)
    code = (
        "from channels.delay.models import DelayedMessage as M; "
        "print('waits:', *M.objects.is_due().values_list('channel_name', flat=True))"
    )
    assert "waits: reports.remove" in run("manage.py", "shell", "-c", code, folder=SITE, more=more)


# Its pages.


@pytest.fixture(params=list(SERVERS))
def site(request: pytest.FixtureRequest, database: Path) -> Iterator[Server]:
    with Server(*SERVERS[request.param], folder=SITE, more=environment(database)) as server:
        yield server


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def sign_up(browser: Browser, site: Server, name: str) -> Page:
    """Have somebody sign up and log in, in a browser of their own."""
    context = await browser.new_context(viewport=PHONE)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(f"{site.url}/sign-up/")
    for label, value in (
        ("Username", name),
        ("Password:", "correct horse battery"),
        ("Password confirmation", "correct horse battery"),
    ):
        await page.get_by_label(label).fill(value)
    await page.get_by_role("button", name="Sign up").click()
    await page.get_by_label("Username").fill(name)
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_text("A project of 2017")).to_be_visible()
    return page


async def open_page(page: Page, site: Server, path: str) -> None:
    await page.goto(site.url + path)
    await expect(page.get_by_role("status")).to_have_text("Online")


@pytest.mark.browser
@needs_chromium
async def test_people_use_it(site: Server, browser: Browser) -> None:
    anna = await sign_up(browser, site, "anna")
    bert = await sign_up(browser, site, "bert")
    errors: list[object] = []
    for page in (anna, bert):
        page.on("pageerror", lambda error: errors.append(error))

    for page in (anna, bert):
        await open_page(page, site, "/rooms/lobby/")
    await anna.get_by_label("Message").fill("<b>hi</b> Grüße")
    await anna.get_by_role("button", name="Send").click()
    await expect(bert.locator("#lines li")).to_have_text(["bert came", "anna<b>hi</b> Grüße"])
    # Not by a reload, whose old page may leave after the new one came.
    await bert.goto("about:blank")
    await expect(anna.locator("#lines li").last).to_have_text("bert left")
    await open_page(bert, site, "/rooms/lobby/")
    await expect(bert.locator("#lines li")).to_have_text(["anna<b>hi</b> Grüße", "bert came"])
    await expect(anna.locator("#lines li")).to_have_text(
        ["anna came", "bert came", "anna<b>hi</b> Grüße", "bert left", "bert came"]
    )

    for page in (anna, bert):
        await open_page(page, site, "/liveblog/")
    await anna.get_by_label("News").fill("It works")
    await anna.get_by_role("button", name="Publish").click()
    await expect(bert.locator("#posts li")).to_have_text(["It works"])

    for page in (anna, bert):
        await open_page(page, site, "/tasks/")
    await anna.get_by_label("New task").fill("write")
    await anna.get_by_role("button", name="Add").click()
    await bert.get_by_label("Done").check()
    await expect(anna.locator("#tasks li.done")).to_have_text(["write Remove"])
    await open_page(anna, site, "/tasks/")
    await expect(anna.get_by_label("Done")).to_be_checked()
    await anna.get_by_role("button", name="Remove").click()
    await expect(bert.locator("#tasks li")).to_have_count(0)

    for page in (anna, bert):
        await open_page(page, site, "/reports/")
    await anna.get_by_label("Title").fill("May")
    await anna.get_by_role("button", name="Make").click()
    progress = ["25 %", "50 %", "75 %", "100 %", "ready", "removed"]
    await expect(bert.locator("#news li")).to_have_text([f"May: {each}" for each in progress])
    await expect(bert.locator("#reports li")).to_have_count(0)
    assert errors == []


@pytest.mark.browser
@needs_chromium
async def test_a_stranger_sees_and_changes_nothing(site: Server, browser: Browser) -> None:
    anna = await sign_up(browser, site, "anna")
    await open_page(anna, site, "/tasks/")
    stranger = await (await browser.new_context()).new_page()
    await open_page(stranger, site, "/tasks/")
    await stranger.get_by_label("New task").fill("mine")
    await stranger.get_by_role("button", name="Add").click()
    await anna.get_by_label("New task").fill("write")
    await anna.get_by_role("button", name="Add").click()
    await expect(stranger.locator("#tasks li")).to_have_text(["write Remove"])
    await expect(anna.locator("#tasks li")).to_have_text(["write Remove"])
