"""`examples/chat` under `manage.py runserver` and under plain uvicorn, by HTTP and WebSocket."""

import asyncio
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.conftest import chat_environment
from tests.e2e.person import Person, socket_address
from tests.e2e.server import CHAT, Server, run

pytestmark = pytest.mark.e2e

STATIC = {path.name: path.read_text() for path in (CHAT / "chat" / "static" / "chat").iterdir()}

CREATE_ADMIN = """
from django.contrib.auth.models import User
User.objects.create_superuser("admin", password="secret")
"""


async def test_two_people_talk_in_a_room(chat: Server) -> None:
    anna, bert = Person("anna", chat), Person("bert", chat)
    async with anna, bert, anna.enter("lobby") as at_annas:
        assert at_annas.history == []
        assert await at_annas.hear() == ("joined", "anna", "")
        async with bert.enter("lobby") as at_berts:
            assert at_berts.history == [("joined", "anna", "")]
            for visit in (at_annas, at_berts):
                assert await visit.hear() == ("joined", "bert", "")
            await at_annas.say("hi")
            for visit in (at_annas, at_berts):
                assert await visit.hear() == ("said", "anna", "hi")
            await at_berts.say("  <b>Grüße</b> 👋\n")
            for visit in (at_annas, at_berts):
                assert await visit.hear() == ("said", "bert", "<b>Grüße</b> 👋")
        assert await at_annas.hear() == ("left", "bert", "")


async def test_who_comes_later_gets_the_last_fifty_lines(chat: Server) -> None:
    async with Person("anna", chat) as anna, anna.enter("lobby") as visit:
        assert await visit.hear() == ("joined", "anna", "")
        for number in range(60):
            await visit.say(str(number))
        for number in range(60):
            assert await visit.hear() == ("said", "anna", str(number))
        async with anna.enter("lobby") as later:
            said = [("said", "anna", str(number)) for number in range(10, 60)]
            assert later.history == said
            assert later.afresh


async def test_who_comes_back_gets_what_was_missed(chat: Server) -> None:
    anna, bert = Person("anna", chat), Person("bert", chat)
    async with anna, bert, bert.enter("lobby") as at_berts:
        assert await at_berts.hear() == ("joined", "bert", "")
        async with anna.enter("lobby") as at_annas:
            assert await at_annas.hear() == await at_berts.hear() == ("joined", "anna", "")
            last = at_annas.last
        assert await at_berts.hear() == ("left", "anna", "")
        await at_berts.say("still there?")
        assert await at_berts.hear() == ("said", "bert", "still there?")
        async with anna.enter("lobby", f"?after={last}") as again:
            assert again.history == [("left", "anna", ""), ("said", "bert", "still there?")]
            assert not again.afresh


async def test_rooms_hear_nothing_of_each_other(chat: Server) -> None:
    async with Person("anna", chat) as anna:
        opened = await anna.submit("/", name="Tea & Cake")
        assert opened.headers["location"] == "/chat/tea-cake/"
        async with anna.enter("lobby") as lobby, anna.enter("tea-cake") as tea:
            assert await lobby.hear() == await tea.hear() == ("joined", "anna", "")
            await lobby.say("in the lobby")
            assert await lobby.hear() == ("said", "anna", "in the lobby")
            await tea.say("over tea")
            assert await tea.hear() == ("said", "anna", "over tea")
        rooms = await anna.pages.get("/")
        assert "#lobby" in rooms.text
        assert "#tea-cake" in rooms.text


async def test_what_is_no_line_is_not_shown_and_a_long_one_is_cut(chat: Server) -> None:
    async with Person("anna", chat) as anna, anna.enter("lobby") as visit:
        assert await visit.hear() == ("joined", "anna", "")
        await visit.say(" \n ")
        await visit.socket.send(b"bytes")
        await visit.say("x" * 2000)
        assert await visit.hear() == ("said", "anna", "x" * 1000)


async def test_who_may_not_enter_is_told_why(chat: Server) -> None:
    async def code(path: str, **headers: str) -> int:
        async with connect(socket_address(chat, path), additional_headers=headers) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def status(path: str, **headers: str) -> int:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(socket_address(chat, path), additional_headers=headers):
                pass
        return refused.value.response.status_code

    async with Person("anna", chat) as anna:
        assert await code("/chat/lobby/") == 4401
        assert await code("/chat/nowhere/", Cookie=anna.cookies) == 4404
        assert await code(f"/chat/{'x' * 500}/", Cookie=anna.cookies) == 4404
        assert await status("/nowhere/") == 404
        elsewhere = "http://elsewhere.example"
        assert await status("/chat/lobby/", Cookie=anna.cookies, Origin=elsewhere) == 403
        async with anna.enter("lobby") as visit:  # none of them was in
            assert visit.history == []


async def test_pages_and_static_files_are_served(chat: Server) -> None:
    async with httpx.AsyncClient(base_url=chat.url, verify=False, trust_env=False) as stranger:
        sent_away = await stranger.get("/chat/lobby/")
        assert sent_away.headers["location"] == "/sign-in/?next=/chat/lobby/"
        for name, kind in {"chat.css": "text/css", "room.js": "text/javascript"}.items():
            answer = await stranger.get(f"/static/chat/{name}")
            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0] == kind
            assert answer.text == STATIC[name]
        assert (await stranger.get("/static/chat/nothing.js")).status_code == 404
    async with Person("anna", chat) as anna:
        page = await anna.pages.get("/chat/lobby/")
        assert page.status_code == 200
        assert 'data-name="anna"' in page.text
        assert (await anna.pages.get("/chat/nowhere/")).status_code == 404


async def test_a_name_leads_nowhere_else(chat: Server, database: Path) -> None:
    await asyncio.to_thread(
        run, "manage.py", "shell", "-c", CREATE_ADMIN, folder=CHAT, more=chat_environment(database)
    )
    async with Person("anna", chat) as anna:
        there = await anna.submit("/sign-in/", name="anna", next="/chat/lobby/")
        assert there.headers["location"] == "/chat/lobby/"
        foreign = await anna.submit("/sign-in/", name="anna", next="https://elsewhere.example/")
        assert foreign.headers["location"] == "/"
        with_password = await anna.submit("/sign-in/", name="admin")
        assert "This name has a password" in with_password.text
        with_markup = await anna.submit("/sign-in/", name="<script>")
        assert with_markup.status_code == 200
        assert "<script>" not in with_markup.text


async def test_a_restart_loses_no_line(chat: Server) -> None:
    async with Person("anna", chat) as anna:
        async with anna.enter("lobby") as visit:
            assert await visit.hear() == ("joined", "anna", "")
            await visit.say("before")
            assert await visit.hear() == ("said", "anna", "before")
            stopping = asyncio.create_task(asyncio.to_thread(chat.stop))
            with pytest.raises(ConnectionClosed) as closed:
                await visit.hear()
            await stopping
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await asyncio.to_thread(chat.start)
        async with anna.enter("lobby", f"?after={visit.last}") as again:
            assert again.history == [("left", "anna", "")]
            assert await again.hear() == ("joined", "anna", "")
