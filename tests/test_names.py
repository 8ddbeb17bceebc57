"""The grammar of names: what is one, and what the error says of anything else."""

import string
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from achannels.exceptions import InvalidName
from achannels.names import MAX_LENGTH, check_channel, check_group, node_of

CHARACTERS = string.ascii_letters + string.digits + ".-_"
CHECKS = pytest.mark.parametrize("check", [check_channel, check_group])

Check = Callable[[str], str]
words = st.text(CHARACTERS, min_size=1, max_size=MAX_LENGTH)
texts = st.text(st.sampled_from(CHARACTERS + "!?\n é"), max_size=MAX_LENGTH + 2)


def is_word(text: str) -> bool:
    return bool(text) and set(text) <= set(CHARACTERS)


def is_channel(text: str) -> bool:
    marks = [index for index, character in enumerate(text) if character in "!?"]
    if len(text) > MAX_LENGTH or len(marks) > 1:
        return False
    return all(is_word(part) for part in text.replace("?", "!").split("!"))


def is_accepted(check: Check, name: str) -> bool:
    try:
        return check(name) == name
    except InvalidName:
        return False


@given(words)
def test_letters_digits_dots_dashes_and_underscores_name_channels_and_groups(name: str) -> None:
    assert check_channel(name) == check_group(name) == name


@given(texts)
@example("a" * 99 + "!" + "b" * 99)
@example("a" * 99 + "!" + "b" * 100)
@example("news\n")
@example("a!b?c")
def test_a_name_is_accepted_exactly_when_it_keeps_the_grammar(text: str) -> None:
    assert is_accepted(check_channel, text) == is_channel(text)
    assert is_accepted(check_group, text) == (is_word(text) and len(text) <= MAX_LENGTH)


@CHECKS
def test_a_name_has_199_characters_at_most(check: Check) -> None:
    assert check("a" * 199) == "a" * 199
    with pytest.raises(InvalidName):
        check("a" * 200)


@CHECKS
def test_a_name_is_a_plain_str_whatever_str_it_was_made_of(check: Check) -> None:
    class Marked(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "something else"

    assert type(check(Marked("news"))) is str
    assert check(Marked("news")) == "news"


@pytest.mark.parametrize(
    ("check", "name", "text"),
    [
        (
            check_group,
            "chat-Zürich",
            (
                "group name 'chat-Zürich' has 'ü' at position 6; allowed are a-z A-Z 0-9 . - _ "
                "(at most 199 characters). Use a slug or a hash of the text."
            ),
        ),
        (
            check_group,
            "node!key",
            (
                "group name 'node!key' has '!' at position 4; allowed are a-z A-Z 0-9 . - _ "
                "(at most 199 characters). Use a slug or a hash of the text."
            ),
        ),
        (
            check_channel,
            "news\n",
            (
                r"channel name 'news\n' has '\n' at position 4; allowed are a-z A-Z 0-9 . - _ and one "
                "! or ? (at most 199 characters). Use a slug or a hash of the text."
            ),
        ),
        (check_channel, "", "channel name '' is empty; it needs 1 to 199 characters."),
        (check_group, "", "group name '' is empty; it needs 1 to 199 characters."),
        (check_channel, None, "channel name None is of type NoneType; it must be a str."),
        (check_group, b"news", "group name b'news' is of type bytes; it must be a str."),
        (
            check_group,
            "x" * 200,
            (
                f"group name '{'x' * 40}'... has 200 characters, the limit is 199. "
                "Use a slug or a hash of the text."
            ),
        ),
        *[
            (
                check_channel,
                name,
                (
                    f"channel name {name!r} is not complete: one '!' or '?' stands between two parts "
                    "that are not empty."
                ),
            )
            for name in ("a!", "!a", "?", "a!b!c", "a!b?c")
        ],
    ],
)
def test_the_error_says_what_is_wrong(check: Check, name: str, text: str) -> None:
    with pytest.raises(InvalidName) as error:
        check(name)
    assert str(error.value) == text


def test_the_node_of_a_reply_channel_is_the_part_before_the_mark() -> None:
    assert node_of("node!key") == "node"
    assert node_of("news") is None
    assert node_of("news?reader") is None
