"""Encrypted bodies: who can read them, and how a key is changed."""

import itertools
import subprocess
import sys

import pytest

from achannels.exceptions import ConfigurationError
from achannels.layers.redis.encryption import Cipher, Undecipherable

OLD, NEW = "old-" * 8, "new-" * 8


@pytest.mark.parametrize("body", [b"", b"hello", bytes(range(256)) * 100])
def test_another_process_with_the_key_reads_it(body: bytes) -> None:
    assert Cipher([OLD]).decrypt(Cipher([OLD]).encrypt(body)) == body


def test_what_is_sent_does_not_show_and_does_not_repeat() -> None:
    cipher = Cipher([OLD])
    first, second = cipher.encrypt(b"the same text"), cipher.encrypt(b"the same text")
    assert first != second
    assert b"same" not in first
    assert len(first) == len(b"the same text") + 45


def test_a_key_is_rotated_in_three_steps_without_a_lost_message() -> None:
    """Everyone learns to read the new key, then writes with it, then forgets the old one."""
    steps = [Cipher([OLD]), Cipher([OLD, NEW]), Cipher([NEW, OLD]), Cipher([NEW])]
    for before, after in itertools.pairwise(steps):
        assert after.decrypt(before.encrypt(b"x")) == b"x"
        assert before.decrypt(after.encrypt(b"x")) == b"x"


def test_the_first_key_encrypts() -> None:
    sent = Cipher([NEW, OLD]).encrypt(b"x")
    assert Cipher([NEW]).decrypt(sent) == b"x"
    with pytest.raises(Undecipherable, match="with none of the keys"):
        Cipher([OLD]).decrypt(sent)


def test_text_and_bytes_are_the_same_key() -> None:
    assert Cipher([OLD.encode()]).decrypt(Cipher([OLD]).encrypt(b"x")) == b"x"


@pytest.mark.parametrize("known", [False, True], ids=["first message", "later message"])
def test_a_changed_byte_anywhere_is_noticed(known: bool) -> None:
    sent = Cipher([OLD]).encrypt(b"pay 10")
    for place in range(len(sent)):
        reader = Cipher([OLD])
        if known:
            reader.decrypt(sent)
        changed = bytearray(sent)
        changed[place] ^= 1
        with pytest.raises(Undecipherable):
            reader.decrypt(bytes(changed))


@pytest.mark.parametrize("body", [b"", b"plain text", b"\x01" * 40])
def test_what_is_not_encrypted_is_refused(body: bytes) -> None:
    with pytest.raises(Undecipherable, match="not encrypted, or cut"):
        Cipher([OLD]).decrypt(body)


def test_keys_of_many_processes_are_remembered_and_forgotten() -> None:
    reader = Cipher([OLD])
    first = Cipher([OLD]).encrypt(b"first")
    assert reader.decrypt(first) == b"first"
    for number in range(1100):
        assert reader.decrypt(Cipher([OLD]).encrypt(b"%d" % number)) == b"%d" % number
    assert len(reader._known) == 1024
    assert reader.decrypt(first) == b"first"


def test_the_salt_changes_before_its_nonces_are_used_up() -> None:
    writer = Cipher([OLD])
    before = writer.encrypt(b"x")
    writer._left = 0
    after = writer.encrypt(b"x")
    assert before[:17] != after[:17]
    reader = Cipher([OLD])
    assert [reader.decrypt(before), reader.decrypt(after)] == [b"x", b"x"]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (OLD, "is a str. Write a list"),
        (7, "is a int. Write a list"),
        ([], "is empty"),
        ([OLD, 7], r"\[1\] is a int. Write a str or bytes"),
        (["s3cret"], r"\[0\] has 6 bytes, it must have 16 or more. Make one: python -c"),
    ],
)
def test_wrong_keys_are_told_and_not_shown(keys: object, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        Cipher(keys)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)
    assert "old-" not in str(caught.value)


def test_without_the_package_the_error_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from achannels.layers.redis.encryption import Cipher\n"
        "Cipher(['k' * 32])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'achannels[crypto]'" in ended.stderr
