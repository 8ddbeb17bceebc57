"""Message bodies that the server cannot read or change: AES-256-GCM, with keys that can be rotated."""

import os
from collections.abc import Iterable
from typing import Any

from achannels.exceptions import ConfigurationError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    _MISSING = True
else:
    _MISSING = False

LEAST = 16
"""Bytes that a key has at least."""

_VERSION = b"\x01"
_SALT, _NONCE, _TAG = 16, 12, 16
_HEAD = len(_VERSION) + _SALT
_PURPOSE = b"achannels message"
_REMEMBERED = 1024
_MESSAGES = 2**30
"""Messages under one salt: random nonces of 96 bits do not meet before that."""


class Undecipherable(ValueError):
    """What was received was written with none of the keys, or changed on its way."""


class Cipher:
    """Encrypts with the first key, decrypts with each: a key is rotated by putting a new one first.

    Each key of the settings gives one key per process (HKDF-SHA256 with a random salt), so that the
    random nonces of all processes together do not use it up. A message grows by 45 bytes.

    Args:
        keys: Texts or bytes, 16 bytes or more each, random: `secrets.token_urlsafe(32)`.

    Raises:
        ConfigurationError: A key is no key, or the package `cryptography` is missing. No text
            shows a key.
    """

    def __init__(self, keys: Iterable[str | bytes]) -> None:
        if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
            raise ConfigurationError(
                f"CONFIG 'symmetric_encryption_keys' is a {type(keys).__name__}. Write a list."
            )
        self._keys = [_check(key, number) for number, key in enumerate(keys)]
        if not self._keys:
            raise ConfigurationError("CONFIG 'symmetric_encryption_keys' is empty.")
        if _MISSING:
            raise ConfigurationError(
                "CONFIG 'symmetric_encryption_keys' needs the package cryptography. "
                "Run: pip install 'achannels[crypto]'"
            )
        self._known: dict[bytes, AESGCM] = {}
        self._change_salt()

    def encrypt(self, data: bytes) -> bytes:
        """Return `data` encrypted with the first key."""
        if self._left == 0:
            self._change_salt()
        self._left -= 1
        nonce = os.urandom(_NONCE)
        return self._head + nonce + self._own.encrypt(nonce, data, self._head)

    def decrypt(self, data: bytes) -> bytes:
        """Return what `encrypt` was given, in any process that has the key.

        Raises:
            Undecipherable: It was written with none of the keys, or changed on its way.
        """
        head, nonce, body = data[:_HEAD], data[_HEAD : _HEAD + _NONCE], data[_HEAD + _NONCE :]
        if len(body) < _TAG or not head.startswith(_VERSION):
            raise Undecipherable("the message is not encrypted, or cut")
        known = self._known.get(head)
        if known is not None:
            try:
                return known.decrypt(nonce, body, head)
            except InvalidTag:
                raise Undecipherable("the message was changed on its way") from None
        for key in self._keys:
            candidate = _derive(key, head)
            try:
                found = candidate.decrypt(nonce, body, head)
            except InvalidTag:
                continue
            self._remember(head, candidate)
            return found
        raise Undecipherable("the message was written with none of the keys, or changed on its way")

    def _change_salt(self) -> None:
        self._head = _VERSION + os.urandom(_SALT)
        self._own = _derive(self._keys[0], self._head)
        self._left = _MESSAGES
        self._remember(self._head, self._own)

    def _remember(self, head: bytes, key: "AESGCM") -> None:
        while len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[head] = key


def check_plain(data: bytes) -> bytes:
    """Return `data` as it is, if it is not encrypted.

    Raises:
        Undecipherable: It is, and there is no key.
    """
    if data.startswith(_VERSION):
        raise Undecipherable("it is encrypted, and CONFIG 'symmetric_encryption_keys' has no key")
    return data


def _derive(key: bytes, head: bytes) -> "AESGCM":
    return AESGCM(HKDF(hashes.SHA256(), 32, head, _PURPOSE).derive(key))


def _check(key: Any, number: int) -> bytes:
    if not isinstance(key, str | bytes):
        raise ConfigurationError(
            f"CONFIG 'symmetric_encryption_keys'[{number}] is a {type(key).__name__}. "
            "Write a str or bytes."
        )
    found = key.encode() if isinstance(key, str) else key
    if len(found) < LEAST:
        raise ConfigurationError(
            f"CONFIG 'symmetric_encryption_keys'[{number}] has {len(found)} bytes, it must have "
            f"{LEAST} or more. Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return found


__all__ = ["LEAST", "Cipher", "Undecipherable", "check_plain"]
