"""`manage.py deadletters`."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from achannels import registry, sync
from achannels.layers.memory import MemoryLayer


@pytest.fixture(autouse=True)
def layer() -> Iterator[MemoryLayer]:
    """A layer with two dead letters on `thumbnails`, room for three messages."""
    layer = MemoryLayer(capacity=3)

    async def give_up() -> None:
        for photo in (1, 2):
            await layer.send("thumbnails", {"photo": photo, "raw": b"\xff"}, durable=True)
            taken = await layer.take(["thumbnails"])
            await layer.settle(taken, dead="ValueError: no image")

    with registry.override(layer):
        sync.hand_over(layer, give_up)
        yield layer
        sync.hand_over(layer, layer.aclose)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("deadletters", "thumbnails", *arguments, stdout=out)
    return out.getvalue()


def ids() -> list[str]:
    return [line.split()[0] for line in run().splitlines()]


def test_it_lists_them_with_reason_and_content() -> None:
    first, second = run().splitlines()
    for line, photo in ((first, 1), (second, 2)):
        assert "1 attempts  ValueError: no image" in line
        assert f'{{"photo": {photo}' in line
    assert run("--limit", "1").splitlines() == [first]


def test_one_can_be_sent_again(layer: MemoryLayer) -> None:
    first, second = ids()
    assert run("--requeue", first) == f"{first} was sent again.\n"
    assert ids() == [second]
    assert sync.hand_over(layer, layer.statistics)["pending"] == 1


def test_one_can_be_dropped() -> None:
    first, second = ids()
    assert run("--drop", first) == f"{first} was dropped.\n"
    assert ids() == [second]


def test_all_can_be_sent_again(layer: MemoryLayer) -> None:
    assert run("--all").count("was sent again") == 2
    assert run() == "thumbnails has no dead letters.\n"
    assert sync.hand_over(layer, layer.statistics)["pending"] == 2


@pytest.mark.parametrize("action", ["--requeue", "--drop"])
def test_an_unknown_id_is_said(action: str) -> None:
    with pytest.raises(CommandError, match="no dead letter 'x'"):
        run(action, "x")


def test_a_full_channel_keeps_the_letter(layer: MemoryLayer) -> None:
    for _ in range(3):
        sync.hand_over(layer, lambda: layer.send("thumbnails", {}))
    first, _ = ids()
    with pytest.raises(CommandError, match="stays: channel 'thumbnails' is full"):
        run("--requeue", first)
    assert first in ids()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--limit", "0"], "'limit' is 0; it must be a whole number from 1"),
        (["--limit", "-1"], "'limit' is -1"),
        (["--layer", "other"], "other"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        run(*arguments)


def test_a_wrong_name_is_said_without_a_traceback() -> None:
    with pytest.raises(CommandError, match="thumb nails"):
        call_command("deadletters", "thumb nails")
