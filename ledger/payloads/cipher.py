"""The cipher of one task: seals what its events hold of a user's, and opens it again.

AES-256-GCM (NIST SP 800-38D) under the task's own key, with a random nonce of 96 bits. The associated data are the
format, the task's id and the name of the field, so that no ciphertext passes for that of another task or field. A
sealed value keeps the shape that readers of the field count on:

    any value   {"$encrypted": "v1.<base64 of nonce, ciphertext and tag>"}
    an error    {"type": "ValueError", "$encrypted": "v1.…"}: its type is code, the rest may hold anything
    a text      "$encrypted:v1.…"
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

import orjson
from pydantic import JsonValue

from ledger.errors import PayloadSealError
from ledger.jsonvalue import decode_json

FORMAT = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12
SEALED = "$encrypted"
ERASED = "$erased"
_PREFIX = f"{FORMAT}."
_TEXT_PREFIX = f"{SEALED}:{_PREFIX}"
_ERROR, _MESSAGE = "error", "message"


class PayloadCipher(Protocol):
    """Seals the value of a field, as it is to stand in an event."""

    def seal(self, field: str, value: JsonValue) -> JsonValue:
        """Return the sealed value."""


class Clear:
    """Leaves values as they are: for what this product says itself about a task whose key it cannot have."""

    def seal(self, field: str, value: JsonValue) -> JsonValue:  # noqa: ARG002 - as the protocol has it
        """Return the value."""
        return value


class Cipher:
    """The cipher under one task's key, 32 bytes."""

    def __init__(self, task_id: UUID, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - most tasks need none

        self._task_id = task_id
        self._aead = AESGCM(key)

    def seal(self, field: str, value: JsonValue) -> JsonValue:
        """Return the sealed value in the shape of the field."""
        if field == _ERROR and isinstance(value, dict):
            rest: JsonValue = {name: member for name, member in value.items() if name != "type"}
            return {"type": value.get("type"), SEALED: self._sealed(field, rest)}
        if field == _MESSAGE:
            return f"{SEALED}:{self._sealed(field, value)}"
        return {SEALED: self._sealed(field, value)}

    def open(self, field: str, value: JsonValue) -> JsonValue:
        """Return what was sealed; a value that is not sealed is returned as it is.

        Raises:
            PayloadSealError: the value was sealed under another key, for another task or field, or was altered.
        """
        text = sealed_text(value)
        if text is None:
            return value
        opened = self._opened(field, text)
        if field == _ERROR and isinstance(value, dict) and isinstance(opened, dict):
            return {"type": value.get("type"), **opened}
        return opened

    def _sealed(self, field: str, value: JsonValue) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._aead.encrypt(nonce, orjson.dumps(value), self._associated(field))
        return f"{_PREFIX}{b64encode(nonce + sealed).decode('ascii')}"

    def _opened(self, field: str, text: str) -> JsonValue:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

        try:
            sealed = b64decode(text.removeprefix(_PREFIX), validate=True)
            plain = self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self._associated(field))
        except (InvalidTag, ValueError) as error:
            raise PayloadSealError(task_id=self._task_id, field=field) from error
        return decode_json(plain)

    def _associated(self, field: str) -> bytes:
        return f"task-ledger.payload {FORMAT} {self._task_id} {field}".encode()


def sealed_text(value: object) -> str | None:
    """Return the ciphertext of a value in one of the sealed shapes; None where it is in none of them."""
    if isinstance(value, Mapping) and value.keys() <= {SEALED, "type"}:
        text = value.get(SEALED)
        return text if isinstance(text, str) and text.startswith(_PREFIX) else None
    if isinstance(value, str) and value.startswith(_TEXT_PREFIX):
        return value.removeprefix(f"{SEALED}:")
    return None


def erased_value(field: str, value: JsonValue) -> JsonValue:
    """Return what is shown instead of a sealed value whose key was destroyed."""
    if sealed_text(value) is None:
        return value
    if isinstance(value, str):
        return ERASED
    if field == _ERROR and isinstance(value, dict):
        return {"type": value.get("type"), ERASED: True}
    return {ERASED: True}


def is_erased_value(value: object) -> bool:
    """Say whether a value is what is shown instead of an erased one."""
    return isinstance(value, Mapping) and value.get(ERASED) is True


def sealed_data(data: str, *, field: str, cipher: PayloadCipher) -> str:
    """Return the JSON text of an event with one of its fields sealed; an absent one is sealed as null."""
    values = orjson.loads(data)
    return orjson.dumps({**values, field: cipher.seal(field, values.get(field))}).decode()
