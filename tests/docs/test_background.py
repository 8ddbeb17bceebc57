"""What the page on background work says, and its snippets."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncRequestFactory

from achannels import Channel, Group, Message, consumer, get_channel_layer, route, sync
from achannels.asgi import Application
from achannels.exceptions import ChannelFull, ConsumeLater, NoReplyChannel, Reject
from achannels.layers.memory import MemoryLayer
from achannels.testing import Clock, Node, WebsocketClient
from tests.docs.models import Photo
from tests.docs.snippets import TEXTS

PAGE = "docs/guide/background.md"
BACKOFF = (1, 10, 60, 60, 60)


@pytest.fixture
async def owner(tables: None) -> Any:
    return await get_user_model().objects.acreate(username="anna")


async def upload(page: Any, owner: Any) -> Photo:
    """Call the view of the page and return the photo that it made."""

    async def auser() -> Any:
        return owner

    request = AsyncRequestFactory().post("/photos/")
    request.auser = auser
    answer = await page.upload(request)
    assert answer.status_code == 202
    return await Photo.objects.alatest("pk")


def photos(page: Any, *more: Any) -> Application:
    async def connect(message: Message) -> None:
        await Group(f"user-{message['query_string'].decode()}").add(message.reply_channel)
        await message.reply_channel.send({"accept": True})

    return Application([*page.channel_routing, route("websocket.connect", connect), *more])


async def dropped(reason: str) -> int:
    return (await get_channel_layer().statistics())["dropped"][reason]


# The first example.


async def test_a_photo_gets_its_thumbnail(page: Any, owner: Any) -> None:
    application = photos(page)
    async with Node(application) as node, WebsocketClient(application, f"/?{owner.pk}") as socket:
        photo = await upload(page, owner)
        await node.idle()
        assert await socket.receive() == f"photo {photo.pk} is ready"
    await photo.arefresh_from_db()
    assert photo.thumbnails == 1


async def test_a_file_that_is_no_image_is_a_dead_letter_at_once(page: Any, owner: Any) -> None:
    photo = await Photo.objects.acreate(owner=owner, is_image=False)
    async with Node(photos(page)) as node:
        await Channel("thumbnails").send({"photo": photo.pk})
        await node.idle()
        (letter,) = await Channel("thumbnails").dead_letters()
    assert (letter.attempts, letter.reason) == (1, "not an image")
    assert letter.content == {"photo": photo.pk}
    assert letter.failed_at.tzinfo is not None
    assert await dropped("rejected") == 1


async def test_a_photo_that_is_uploading_comes_later(
    page: Any, owner: Any, channel_clock: Clock
) -> None:
    photo = await Photo.objects.acreate(owner=owner, is_uploading=True)
    async with Node(photos(page)) as node:
        await Channel("thumbnails").send({"photo": photo.pk})
        await node.idle()
        photo.is_uploading = False
        await photo.asave()
        channel_clock.advance(4.9)
        await node.idle()
        await photo.arefresh_from_db()
        assert photo.thumbnails == 0
        channel_clock.advance(0.1)
        await node.idle()
    await photo.arefresh_from_db()
    assert photo.thumbnails == 1


async def test_six_attempts_then_a_dead_letter_that_is_mended(
    page: Any, owner: Any, channel_clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = await Photo.objects.acreate(owner=owner, is_broken=True)
    async with Node(photos(page)) as node:
        await Channel("thumbnails").send({"photo": photo.pk})
        with pytest.raises(ValueError, match="the photo is broken"):
            await node.idle()
        for seconds in BACKOFF:
            assert await Channel("thumbnails").dead_letters() == []
            channel_clock.advance(seconds - 0.5)
            await node.idle()
            channel_clock.advance(0.5)
            with pytest.raises(ValueError, match="the photo is broken"):
                await node.idle()
        (letter,) = await Channel("thumbnails").dead_letters()
        assert (letter.attempts, letter.reason) == (6, "ValueError: the photo is broken")
        photo.is_broken = False
        await photo.asave()
        await page.mend()
        await node.idle()
        assert await Channel("thumbnails").dead_letters() == []
        assert not await Channel("thumbnails").requeue(letter.id)
    await photo.arefresh_from_db()
    assert photo.thumbnails == 1
    assert "the photo is broken" in capsys.readouterr().out


# The consumer.


async def test_filters_see_the_content(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    async with Node(Application(page.mail_routing)) as node:
        await Channel("mail").send({"kind": "welcome", "to": "anna"})
        await Channel("mail").send({"kind": "bill", "to": "bert"})
        await node.idle()
    assert capsys.readouterr().out.splitlines() == ["welcome, anna", "bill to bert"]


async def test_a_message_that_no_route_takes(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with Node(Application(page.mail_routing[:1])) as node:
        await Channel("mail").send({"kind": "bill", "to": "bert"})
        await node.idle()
    assert await dropped("no_route") == 1
    assert [record.name for record in caplog.records] == ["achannels.worker"]


async def test_the_type_picks_the_method(
    page: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(Application([page.billing_route])) as node:
        await page.bill(7)
        await Channel("billing").send({"type": "invoice.burn"})
        await node.idle()
    assert capsys.readouterr().out == "invoice 7\n"
    assert await dropped("no_handler") == 1
    assert [record.name for record in caplog.records] == ["achannels.worker"]


async def test_options_of_a_class_are_attributes(page: Any, channel_clock: Clock) -> None:
    class Broken(page.Billing):  # type: ignore[misc]
        async def invoice_send(self, event: dict[str, Any]) -> None:
            raise RuntimeError(f"on {self.channel_name}")

    async with Node(Application([route("billing", Broken)])) as node:
        await page.bill(7)
        for _ in range(4):
            with pytest.raises(RuntimeError):
                await node.idle()
            channel_clock.advance(1.0)
        await node.idle()
        (letter,) = await Channel("billing").dead_letters()
    assert (letter.attempts, letter.reason) == (4, "RuntimeError: on billing")


async def test_a_background_message_has_no_reply_channel() -> None:
    async def work(message: Message) -> None:
        with pytest.raises(NoReplyChannel):
            await message.reply_channel.send({})

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        await node.idle()


# Options.


class Crowd:
    """Consumers that wait until they are let go."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.full = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.expected:
            self.full.set()
        await self.go.wait()
        self.inside -= 1


@pytest.mark.parametrize(
    ("concurrencies", "setting", "most"),
    [([None], 64, 64), ([None], 5, 5), ([4], 64, 4), ([4, 2], 64, 2), ([1], 64, 1)],
)
async def test_concurrency(concurrencies: list[int | None], setting: int, most: int) -> None:
    crowd = Crowd(most)

    def member(concurrency: int | None) -> Any:
        @consumer(concurrency=concurrency)
        async def enter(message: Message) -> None:
            await crowd(message)

        return enter

    routing = [
        route("work", member(each), number=f"^{number}$")
        for number, each in enumerate(concurrencies)
    ]
    application = Application(routing, concurrency=setting)
    async with Node(application) as node:
        for _ in range(100):
            await Channel("work").send({"number": "0"})
        await crowd.full.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert crowd.most == most
        assert (await get_channel_layer().statistics())["pending"] == 100
        crowd.go.set()
        await node.idle()
        assert crowd.most == most


async def test_one_at_a_time_is_in_order() -> None:
    seen: list[int] = []

    @consumer(concurrency=1)
    async def work(message: Message) -> None:
        for _ in range(10 - message["number"]):
            await asyncio.sleep(0)
        seen.append(message["number"])

    async with Node(Application([route("work", work)])) as node:
        for number in range(10):
            await Channel("work").send({"number": number})
        await node.idle()
    assert seen == list(range(10))


async def test_timeout() -> None:
    cancelled = asyncio.Event()

    @consumer(timeout=0.01)
    async def work(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        await cancelled.wait()
        with pytest.raises(TimeoutError):
            await node.idle()


async def test_a_thread_runs_to_its_end_and_has_failed_all_the_same() -> None:
    go, ended = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    @consumer(timeout=0.01)
    def work(message: sync.Message) -> None:
        sync.Channel("more").send({})
        go.wait(10)
        loop.call_soon_threadsafe(ended.set)

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        loop.call_later(0.05, go.set)
        await ended.wait()
        with pytest.raises(TimeoutError):
            await node.idle()
        assert (await get_channel_layer().statistics())["accepted"] == 2


# What the consumer says.


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("error", [ValueError("no"), ConsumeLater(2), Reject("no")], ids=repr)
async def test_what_a_consumer_raises(
    durable: bool, error: Exception, channel_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    @consumer(durable=durable, retries=2)
    async def work(message: Message) -> None:
        attempts.append(message.attempt)
        raise error

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        for _ in range(4):
            if isinstance(error, ValueError) and len(attempts) < (3 if durable else 1):
                with pytest.raises(ValueError, match="no"):
                    await node.idle()
            else:
                await node.idle()
            channel_clock.advance(2.0)
        letters = await Channel("work").dead_letters()
    again = isinstance(error, ConsumeLater) or (isinstance(error, ValueError) and durable)
    assert attempts == ([1, 2, 3] if again else [1])
    assert len(letters) == durable
    lost = durable or not isinstance(error, ValueError)
    assert await dropped("rejected") == lost
    assert (await get_channel_layer().statistics())["delivered"] == 1 - lost
    logged = [record.name for record in caplog.records if record.levelname == "ERROR"]
    expected = ["achannels.consumer"] * len(attempts) if isinstance(error, ValueError) else []
    assert logged == expected + ["achannels.worker"] * again


async def test_a_send_makes_one_message_durable() -> None:
    @consumer(retries=0)
    async def work(message: Message) -> None:
        raise ValueError("no")

    async with Node(Application([route("orders", work)])) as node:
        await Channel("orders").send({"number": 1})
        await Channel("orders").send({"number": 2}, durable=True)
        with pytest.raises(ValueError, match="no"):
            await node.idle()
        (letter,) = await Channel("orders").dead_letters()
    assert letter.content == {"number": 2}


async def test_dead_letters_are_kept_up_to_a_number(channel_layer: MemoryLayer) -> None:
    for number in range(1_001):
        await channel_layer.send("work", {"number": number}, durable=True)
        await channel_layer.settle(await channel_layer.take(["work"]), dead="no")
    letters = await Channel("work").dead_letters(limit=2_000)
    assert [letters[0].content["number"], letters[-1].content["number"]] == [1, 1_000]
    assert len(await Channel("work").dead_letters()) == 100
    assert await channel_layer.drop_letter("work", letters[0].id)
    assert len(await Channel("work").dead_letters(2_000)) == 999


async def test_a_requeue_into_a_full_channel() -> None:
    with_room_for_one = MemoryLayer(capacity=1)
    work = Channel("work", channel_layer=with_room_for_one)
    await work.send({}, durable=True)
    await with_room_for_one.settle(await with_room_for_one.take(["work"]), dead="no")
    await work.send({})
    (letter,) = await work.dead_letters()
    with pytest.raises(ChannelFull):
        await work.requeue(letter.id)
    assert await work.dead_letters() == [letter]


# Later, answers, what is lost.


@pytest.fixture
async def reminded() -> AsyncIterator[tuple[Node, list[int]]]:
    seen: list[int] = []

    async def keep(message: Message) -> None:
        seen.append(message["photo"])

    async with Node(Application([route("reminders", keep)])) as node:
        yield node, seen


async def test_reminders(page: Any, channel_clock: Clock, reminded: tuple[Node, list[int]]) -> None:
    node, seen = reminded
    await page.remind(7)
    for seconds, count in ((3599, 0), (1, 1), (86_400 - 3_605, 1), (5, 2)):
        channel_clock.advance(seconds)
        await node.idle()
        assert seen == [7] * count


async def test_a_socket_gets_the_answer_of_a_background_consumer(page: Any) -> None:
    async with WebsocketClient(Application(page.answer_routing), "/ask/") as socket:
        await socket.send("why")
        assert await socket.receive() == "WHY"


async def test_code_waits_for_an_answer(page: Any) -> None:
    async with Node(Application(page.answer_routing)):
        answers = await asyncio.gather(page.ask("a"), page.ask("b"))
    assert list(answers) == ["A", "B"]


async def test_what_is_sent_before_a_worker_listens_expires(channel_clock: Clock) -> None:
    @consumer(durable=True)
    async def work(message: Message) -> None: ...

    await Channel("work").send({})
    await Channel("work").send({}, durable=True)
    await Channel("work").send({}, delay=1)
    channel_clock.advance(60.0)
    async with Node(Application([route("work", work)])) as node:
        await node.idle()
    books = await get_channel_layer().statistics()
    assert (books["expired"], books["delivered"]) == (1, 2)


@pytest.mark.parametrize("durable", [False, True])
async def test_what_waits_for_a_durable_consumer_does_not_expire(
    durable: bool, channel_clock: Clock
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @consumer(durable=durable, concurrency=1)
    async def work(message: Message) -> None:
        begun.set()
        await go.wait()

    async with Node(Application([route("work", work)])) as node:
        await Channel("work").send({})
        await begun.wait()
        await Channel("work").send({})
        await Group("workers").add("work")
        await Group("workers").send({})
        channel_clock.advance(60.0)
        go.set()
        await node.idle()
    books = await get_channel_layer().statistics()
    assert (books["expired"], books["delivered"]) == ((1, 2) if durable else (2, 1))


async def test_retries_are_let_in_over_the_capacity() -> None:
    small = MemoryLayer(capacity=1)
    work = Channel("work", channel_layer=small)
    await work.send({}, durable=True)
    taken = await small.take(["work"])
    await work.send({})
    with pytest.raises(ChannelFull):
        await work.send({}, durable=True)
    await small.settle(taken, again=0.0)
    assert (await small.statistics())["pending"] == 2


async def test_the_node_waits_for_what_is_in_hand_so_long() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(message: Message) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Node(Application([route("work", work)], drain_timeout=0.01)):
        await Channel("work").send({})
        await begun.wait()
    assert cancelled.is_set()


def test_the_page_names_every_option() -> None:
    for option in ("durable", "retries", "backoff", "timeout", "concurrency"):
        assert f"| `{option}` |" in TEXTS[PAGE]
