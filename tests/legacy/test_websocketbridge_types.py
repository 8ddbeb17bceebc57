"""The types of the JavaScript client: as complete as its script, and right for TypeScript."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = (ROOT / "achannels" / "legacy" / "static" / "channels" / "js").resolve()

USE = """
import { WebSocketBridge, type ReconnectingOptions } from "{scripts}/websocketbridge.mjs";
const options: ReconnectingOptions = { maxRetries: 3 };
const bridge = new WebSocketBridge();
bridge.connect("/x/", ["a"], options);
bridge.listen((message, stream) => { const nothing: null = stream; console.log(message.text, nothing); });
bridge.demultiplex("s", (payload, stream) => console.log(payload.pk, stream.length));
const sent: boolean = bridge.stream("s").send({ a: 1 });
bridge.socket?.addEventListener("close", (event) => console.log(event.code, sent));
bridge.socket?.close(1000, "", { keepClosed: true });
// @ts-expect-error
bridge.send();
// @ts-expect-error
bridge.connect(5);
const classic: channels.WebSocketBridge = bridge;
console.log(classic);
"""


def test_the_types_declare_every_member() -> None:
    script = (SCRIPTS / "websocketbridge.js").read_text().partition("class WebSocketBridge")[2]
    types = (SCRIPTS / "websocketbridge.d.ts").read_text().partition("class WebSocketBridge")[2]
    members = re.findall(r"^    (\w+)\(|this\.(\w+) = ", script, re.MULTILINE)
    names = {name for pair in members for name in pair if name}
    assert names >= {"constructor", "connect", "listen", "demultiplex", "send", "stream", "streams"}
    assert [name for name in names if not re.search(rf"\b{name}\??[(:]", types)] == []


def test_the_types_declare_every_option() -> None:
    script = (SCRIPTS / "websocketbridge.js").read_text()
    defaults = script.partition("DEFAULTS = {")[2].partition("};")[0]
    options = set(re.findall(r"^    (\w+):", defaults, re.MULTILINE))
    types = (SCRIPTS / "websocketbridge.d.ts").read_text()
    declared = types.partition("interface ReconnectingOptions {")[2].partition("\n  }")[0]
    assert set(re.findall(r"^    (\w+)\?:", declared, re.MULTILINE)) == options


@pytest.mark.skipif(
    shutil.which("tsc") is None, reason="needs TypeScript: npm install -g typescript"
)
@pytest.mark.timeout(60)
def test_the_types_hold(tmp_path: Path) -> None:
    (tmp_path / "use.mts").write_text(USE.replace("{scripts}", str(SCRIPTS)))
    flags = ["--noEmit", "--strict", "--module", "nodenext", "--lib", "es2022,dom"]
    checked = subprocess.run(
        ["tsc", *flags, "--target", "es2022", "use.mts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
