"""The JavaScript client in Chromium: against a demultiplexer, and against sockets that fail."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page, Route, expect

from achannels import Message, route, route_class
from achannels.asgi import Application
from achannels.consumers import AsyncJsonWebsocketConsumer
from achannels.testing import LiveServer
from tests.e2e.browser import chromium, needs_chromium

SCRIPTS = (
    Path(__file__).parents[2] / "achannels" / "legacy" / "static" / "channels" / "js"
).resolve()

PAGE = """<!doctype html><html id="channels"><title>Bridge</title>
<script src="/js/websocketbridge.js"></script>
<ul id="heard"></ul>
<script>
  window.hear = (...what) => {
    document.getElementById("heard").append(Object.assign(document.createElement("li"), {
      textContent: JSON.stringify(what),
    }));
  };
</script>"""

# A WebSocket whose life the test decides on; all that were made are in `made`.
SOCKETS = """
  window.made = [];
  window.FakeSocket = class {
    constructor(url, protocols) {
      Object.assign(this, { url, protocols, readyState: 0, sent: [], closes: [] });
      made.push(this);
    }
    send(data) {
      if (this.readyState === 0) throw new DOMException("connecting", "InvalidStateError");
      if (this.readyState === 1) this.sent.push(data);
    }
    open() { this.readyState = 1; this.onopen(new Event("open")); }
    hear(value) { this.onmessage({ data: JSON.stringify(value), origin: "" }); }
    close(code, reason) {
      if (code && code !== 1000 && code < 3000) throw new DOMException("no", "InvalidAccessError");
      this.closes.push([code, reason]);
      this.lose(code ?? 1006);
    }
    lose(code = 1006) {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.onclose(new CloseEvent("close", { code, reason: "lost", wasClean: false }));
    }
  };
  window.bridge = new channels.WebSocketBridge();
  window.begin = (options) => {
    bridge.connect("/", "chat", { constructor: FakeSocket, ...options });
    for (const type of ["open", "close"]) {
      bridge.socket.addEventListener(type, (event) => hear(type, event.code ?? null));
    }
    bridge.listen((message, stream) => hear(message, stream));
  };
  null; // else playwright would call what was assigned last
"""

pytestmark = [pytest.mark.browser, needs_chromium, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(autouse=True)
def _no_blocking_calls() -> None:
    """Playwright looks at files on the event loop."""


@pytest.fixture
def _no_leaks() -> None:
    """The browser stays, with its tasks."""


class Streams(AsyncJsonWebsocketConsumer):
    """A demultiplexer with the streams `echo` and `shout`; a frame without stream comes back."""

    async def receive_json(self, content: Any) -> None:
        if not isinstance(content, dict) or "stream" not in content:
            await self.send_json(content)
            return
        stream, payload = content["stream"], content["payload"]
        if stream == "close":
            await self.close(code=payload["code"])
        elif stream == "shout":
            await self.send_json({"stream": stream, "payload": payload["text"].upper()})
        else:
            await self.send_json({"stream": stream, "payload": payload})


async def serve(message: Message) -> None:
    name = message["path"].removeprefix("/js/")
    body, kind = PAGE.encode(), b"text/html; charset=utf-8"
    if name in {"websocketbridge.js", "websocketbridge.mjs"}:
        body, kind = (SCRIPTS / name).read_bytes(), b"text/javascript"
    headers = [(b"content-type", kind)]
    await message.reply_channel.send({"status": 200, "headers": headers, "content": body})


@pytest.fixture
def server() -> Iterator[LiveServer]:
    routing = [route("http.request", serve), route_class(Streams, path="streams/")]
    with LiveServer(Application(routing)) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(server: LiveServer, browser: Browser) -> AsyncIterator[Page]:
    """A page of the server with the bridge."""
    page = await browser.new_page()
    await page.goto(server.url)
    yield page
    await page.close()


@pytest_asyncio.fixture(loop_scope="module")
async def failing(page: Page) -> Page:
    """A page whose sockets the test decides on, and whose time stands still."""
    await page.clock.install(time=0)
    await page.clock.pause_at(1000)
    await page.evaluate("Math.random = () => 1")
    await page.evaluate(SOCKETS)
    return page


async def heard(page: Page, *what: str) -> None:
    """Check all that was heard so far, as JSON."""
    await expect(page.locator("#heard li")).to_have_text(list(what))


async def count(page: Page) -> int:
    """Return how many sockets the page has made."""
    made: int = await page.evaluate("made.length")
    return made


async def test_frames_go_to_the_handlers_of_their_streams(page: Page) -> None:
    errors: list[object] = []
    page.on("pageerror", lambda error: errors.append(error))
    await page.evaluate("""() => {
      const bridge = new channels.WebSocketBridge();
      bridge.connect("/streams/");
      bridge.demultiplex("echo", () => hear("replaced"));
      bridge.demultiplex("echo", (payload, stream) => hear(payload, stream));
      bridge.listen((message, stream) => hear(message, stream));
      bridge.demultiplex("shout", (payload, stream) => hear(payload, stream));
      bridge.socket.addEventListener("open", () => {
        bridge.stream("echo").send({ number: 1 });
        bridge.stream("nobody").send({ number: 2 });
        bridge.stream("shout").send({ text: "Grüße" });
        bridge.stream("__defineGetter__").send({ number: 3 });
        bridge.send({ number: 4 });
        bridge.send([1, null, "text"]);
        bridge.send(null);
      });
    }""")
    await heard(
        page,
        '[{"number":1},"echo"]',
        '["GRÜSSE","shout"]',
        '[{"number":4},null]',
        '[[1,null,"text"],null]',
        "[null,null]",
    )
    assert errors == []


async def test_without_a_callback_other_frames_are_dropped(page: Page) -> None:
    await page.evaluate("""() => {
      const bridge = new channels.WebSocketBridge();
      bridge.connect("/streams/");
      bridge.listen();
      bridge.demultiplex("echo", (payload) => hear(payload));
      bridge.socket.onopen = () => { bridge.send({ lost: true }); bridge.stream("echo").send(5); };
    }""")
    await heard(page, "[5]")


async def test_the_module_exports_the_same_class(page: Page) -> None:
    exported = await page.evaluate("""async () => {
      const module = await import("/js/websocketbridge.mjs");
      return [Object.keys(module), module.WebSocketBridge === channels.WebSocketBridge];
    }""")
    assert exported[0] == ["WebSocketBridge"]
    connected = await page.evaluate("""async () => {
      const { WebSocketBridge } = await import("/js/websocketbridge.mjs");
      const bridge = new WebSocketBridge();
      bridge.connect("/streams/");
      const answer = new Promise((resolve) => bridge.listen(resolve));
      bridge.socket.onopen = () => bridge.send({ from: "a module" });
      return await answer;
    }""")
    assert connected == {"from": "a module"}


async def test_the_script_keeps_what_the_page_calls_channels(
    page: Page, server: LiveServer
) -> None:
    await page.evaluate("window.channels.mine = 1")
    await page.add_script_tag(url=f"{server.url}/js/websocketbridge.js")
    assert await page.evaluate("[channels.mine, typeof channels.WebSocketBridge]") == [
        1,
        "function",
    ]


async def test_a_new_bridge_has_the_documented_attributes(page: Page) -> None:
    found = await page.evaluate("""() => {
      const options = { receive: 1 };
      const { socket, streams, default_cb, ...bridge } = new channels.WebSocketBridge(options);
      return { socket, streams, default_cb, options: bridge.options, same: bridge.options === options };
    }""")
    assert found == {
        "socket": None,
        "streams": {},
        "default_cb": None,
        "options": {"receive": 1},
        "same": False,
    }


@pytest.mark.parametrize("method", ["listen()", "send({})", "stream('a').send({})"])
async def test_without_connect_a_bridge_says_so(page: Page, method: str) -> None:
    with pytest.raises(Error, match=r"WebSocketBridge\.(listen|send)\(\): call connect\(\) first"):
        await page.evaluate(f"new channels.WebSocketBridge().{method}")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_address_follows_the_page(page: Page, server: LiveServer, scheme: str) -> None:
    async def fulfil(request: Route) -> None:
        await request.fulfill(body=PAGE, content_type="text/html")

    await page.route(f"{scheme}://bridge.test:81/**", fulfil)
    await page.goto(f"{scheme}://bridge.test:81/some/page/?a=1")
    await page.add_script_tag(content=(SCRIPTS / "websocketbridge.js").read_text())
    await page.evaluate(SOCKETS)
    urls = await page.evaluate("""() => {
      for (const url of [undefined, "", "/chat/?room=1", "ws://elsewhere.test/x/"]) {
        new channels.WebSocketBridge().connect(url, undefined, { constructor: FakeSocket });
      }
      return made.map((socket) => socket.url);
    }""")
    root = f"{scheme.replace('http', 'ws')}://bridge.test:81/"
    assert urls == [root, root, f"{root}chat/?room=1", "ws://elsewhere.test/x/"]


@pytest.mark.parametrize("code", [1000, 4000])
async def test_a_socket_that_the_server_closes_comes_back(page: Page, code: int) -> None:
    await page.evaluate("""() => {
      window.bridge = new channels.WebSocketBridge();
      bridge.connect("/streams/", [], { minReconnectionDelay: 1 });
      bridge.listen((message) => hear(message));
      bridge.demultiplex("echo", (payload) => hear(payload));
      bridge.socket.addEventListener("open", () => {
        hear("open");
        bridge.stream("echo").send(bridge.socket.readyState);
      });
      bridge.socket.onclose = ({ code, wasClean }) => hear("close", code, wasClean);
    }""")
    await heard(page, '["open"]', "[1]")
    await page.evaluate(f"bridge.stream('close').send({{ code: {code} }})")
    await heard(page, '["open"]', "[1]", f'["close",{code},true]', '["open"]', "[1]")


async def test_a_page_comes_back_when_its_server_does(browser: Browser) -> None:
    application = Application([route("http.request", serve), route_class(Streams)])
    page = await browser.new_page()
    with LiveServer(application) as server:
        await page.goto(server.url)
        await page.evaluate("""() => {
          window.refused = 0;
          const bridge = new channels.WebSocketBridge();
          bridge.connect("/", [], { minReconnectionDelay: 20, reconnectionDelayGrowFactor: 1 });
          bridge.listen((message) => hear(message));
          bridge.socket.onopen = () => bridge.send("here");
          bridge.socket.addEventListener("close", ({ code }) => (refused += code === 1006));
        }""")
        await heard(page, '["here"]')
    await page.wait_for_function("refused > 2")
    with LiveServer(application, port=server.port):
        await heard(page, '["here"]', '["here"]')
        await page.close()


async def test_waits_grow_up_to_the_longest(failing: Page) -> None:
    await failing.evaluate("begin({ maxReconnectionDelay: 3000 })")
    for number, wait in enumerate([1500, 1950, 2535, 3000, 3000], 1):
        await failing.evaluate("made.at(-1).lose()")
        await failing.clock.run_for(wait - 1)
        assert await count(failing) == number
        await failing.clock.run_for(1)
        assert await count(failing) == number + 1


async def test_waits_differ_between_pages(failing: Page) -> None:
    await failing.evaluate("begin()")
    await failing.evaluate("Math.random = () => 0; made[0].lose()")
    await failing.clock.run_for(749)
    assert await count(failing) == 1
    await failing.clock.run_for(1)
    assert await count(failing) == 2


async def test_only_a_connection_that_lasts_makes_the_wait_short_again(failing: Page) -> None:
    await failing.evaluate("begin({ reconnectionDelayGrowFactor: 2 })")
    await failing.evaluate("made[0].lose()")
    await failing.clock.run_for(1500)
    await failing.evaluate("made[1].open()")
    await failing.clock.run_for(4999)
    await failing.evaluate("made[1].lose(1013)")
    await failing.clock.run_for(2999)
    assert await count(failing) == 2
    await failing.clock.run_for(1)
    await failing.evaluate("made[2].open()")
    await failing.clock.run_for(5000)
    await failing.evaluate("made[2].lose()")
    await failing.clock.run_for(1500)
    assert await count(failing) == 4


async def test_a_handshake_that_takes_too_long_is_given_up(failing: Page) -> None:
    await failing.evaluate("begin()")
    await failing.clock.run_for(3999)
    assert await failing.evaluate("made[0].closes") == []
    await failing.clock.run_for(1)
    assert await failing.evaluate("made[0].closes.length") == 1
    await failing.clock.run_for(1500)
    await failing.evaluate("made[1].open()")
    await failing.clock.run_for(60_000)
    assert await count(failing) == 2
    await heard(failing, '["close",1006]', '["open",null]')


async def test_a_browser_that_is_online_again_does_not_wait(failing: Page) -> None:
    await failing.evaluate("begin(); made[0].open(); dispatchEvent(new Event('online'))")
    assert await count(failing) == 1
    await failing.evaluate("made[0].lose(); dispatchEvent(new Event('online'))")
    assert await count(failing) == 2
    await failing.evaluate("made[1].open()")
    await failing.clock.run_for(60_000)
    assert await count(failing) == 2


async def test_so_many_new_tries_in_a_row(failing: Page) -> None:
    await failing.evaluate("begin({ maxRetries: 2 })")
    for _ in range(3):
        await failing.evaluate("made.at(-1).lose(); dispatchEvent(new Event('online'))")
        await failing.clock.run_for(60_000)
    assert await count(failing) == 3
    assert await failing.evaluate("bridge.socket.readyState") == 3


async def test_close_is_for_good(failing: Page) -> None:
    await failing.evaluate("begin(); made[0].open(); bridge.socket.close()")
    await failing.clock.run_for(60_000)
    await failing.evaluate("dispatchEvent(new Event('online'))")
    assert await count(failing) == 1
    assert await failing.evaluate("made[0].closes") == [[1000, ""]]
    await heard(failing, '["open",null]', '["close",1000]')


@pytest.mark.parametrize("close", ["bridge.socket.close()", "bridge.connect('/two/', [], fake)"])
async def test_close_ends_the_waiting_too(failing: Page, close: str) -> None:
    await failing.evaluate("window.fake = { constructor: FakeSocket }; begin(); made[0].lose()")
    await failing.evaluate(close)
    await failing.evaluate("made.at(-1).readyState === 0 && made.at(-1).open()")
    await failing.clock.run_for(60_000)
    assert (
        await failing.evaluate("made.filter((socket) => !socket.url.endsWith('/two/')).length") == 1
    )


async def test_a_listener_may_stop_the_new_tries(failing: Page) -> None:
    await failing.evaluate("""() => {
      begin();
      bridge.socket.addEventListener("close", ({ code }) => code === 4403 && bridge.socket.close());
      made[0].open();
      made[0].lose(4403);
    }""")
    await failing.clock.run_for(60_000)
    assert await count(failing) == 1


async def test_close_can_ask_for_the_next_connection(failing: Page) -> None:
    await failing.evaluate("""() => {
      begin();
      made[0].open();
      bridge.socket.close(4000, "afresh", { keepClosed: false });
    }""")
    await failing.clock.run_for(1500)
    assert await failing.evaluate("made.map((socket) => socket.closes)") == [[[4000, "afresh"]], []]


async def test_a_close_code_that_is_none_changes_nothing(failing: Page) -> None:
    await failing.evaluate("begin(); made[0].open()")
    with pytest.raises(Error, match="InvalidAccessError"):
        await failing.evaluate("bridge.socket.close(1001)")
    await failing.evaluate("made[0].lose()")
    await failing.clock.run_for(1500)
    assert await count(failing) == 2


async def test_send_says_whether_there_was_a_connection(failing: Page) -> None:
    await failing.evaluate("begin()")
    with pytest.raises(Error, match="InvalidStateError"):
        await failing.evaluate("bridge.send({})")
    await failing.evaluate("made[0].open()")
    assert await failing.evaluate("bridge.stream('a').send(1)") is True
    await failing.evaluate("made[0].lose()")
    assert await failing.evaluate("bridge.send(2)") is False
    assert await failing.evaluate("made[0].sent") == ['{"stream":"a","payload":1}']


async def test_a_handler_that_throws_stops_no_other(failing: Page) -> None:
    await failing.evaluate("""() => {
      begin();
      bridge.socket.onclose = () => { throw new Error("mine"); };
      made[0].open();
      made[0].hear({ stream: "a" });
      made[0].hear("one");
      made[0].lose();
    }""")
    await heard(failing, '["open",null]', '["one",null]', '["close",1006]')
    await failing.clock.run_for(1500)
    assert await count(failing) == 2


async def test_the_socket_has_the_interface_of_a_websocket(page: Page, server: LiveServer) -> None:
    found = await page.evaluate("""async () => {
      const bridge = new channels.WebSocketBridge();
      bridge.connect("/streams/", [], { minReconnectionDelay: undefined });
      const { socket } = bridge;
      const before = [socket.readyState, socket.CONNECTING, socket.binaryType];
      socket.binaryType = "arraybuffer";
      await new Promise((resolve) => (socket.onopen = resolve));
      const { url, readyState, OPEN, protocol, extensions, bufferedAmount, binaryType } = socket;
      return { before, url, readyState, OPEN, protocol, extensions: typeof extensions,
        bufferedAmount, binaryType, constants: [socket.CLOSING, socket.constructor.CLOSED] };
    }""")
    assert found == {
        "before": [0, 0, "blob"],
        "url": f"{server.ws_url}/streams/",
        "readyState": 1,
        "OPEN": 1,
        "protocol": "",
        "extensions": "string",
        "bufferedAmount": 0,
        "binaryType": "arraybuffer",
        "constants": [2, 3],
    }


async def test_the_console_hears_of_it_when_asked(failing: Page) -> None:
    said: list[str] = []
    failing.on("console", lambda line: said.append(line.text))
    await failing.evaluate("begin({ debug: true }); made[0].open(); made[0].lose()")
    async with failing.expect_console_message():
        await failing.evaluate("console.log('end')")
    url = await failing.evaluate("made[0].url")
    assert said[:3] == [f"{url}: open", f"{url}: try 1 in 1500 ms", f"{url}: closed with 1006"]
