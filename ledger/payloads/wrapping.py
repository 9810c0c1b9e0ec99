"""The secrets that wrap the tasks' keys, so that a dump of the database alone opens nothing.

A secret is text from LEDGER_PAYLOAD_SECRET. Its key-encryption key and its id are HMAC-SHA-256 of two fixed
labels under the secret; the id stands beside each key that it wraps and tells nothing of the secret. A wrapped key
is nonce, ciphertext and tag of AES-256-GCM, 60 bytes, bound to its task by the associated data.
"""

import hmac
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from ledger.errors import PayloadKeyMissingError
from ledger.payloads.cipher import NONCE_BYTES

_KEY_LABEL = b"task-ledger.payload-secret.key.1"
_ID_LABEL = b"task-ledger.payload-secret.id.1"
_ID_CHARS = 16


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A task's key as it stands in the database, and the id of the secret that it needs."""

    wrapped: bytes
    secret_id: str


class PayloadSecrets:
    """The secrets that this process knows; the first of them wraps, all of them unwrap."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys: Mapping[str, bytes] = {
            _derived(one, _ID_LABEL).hex()[:_ID_CHARS]: _derived(one, _KEY_LABEL) for one in secrets
        }

    @property
    def newest_id(self) -> str | None:
        """The id of the secret that wraps; None where there is none."""
        return next(iter(self._keys), None)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all the secrets."""
        return tuple(self._keys)

    def wrap(self, task_id: UUID, key: bytes) -> WrappedKey:
        """Wrap a task's key.

        Raises:
            PayloadKeyMissingError: there is no secret.
        """
        secret_id = self.newest_id
        if secret_id is None:
            raise PayloadKeyMissingError(task_id=task_id, reason="LEDGER_PAYLOAD_SECRET is not set")
        nonce = os.urandom(NONCE_BYTES)
        return WrappedKey(nonce + _encrypted(self._keys[secret_id], nonce, key, _associated(task_id)), secret_id)

    def unwrap(self, task_id: UUID, wrapped: WrappedKey) -> bytes:
        """Return a task's key.

        Raises:
            PayloadKeyMissingError: it was wrapped under another secret, or for another task.
        """
        key = self._keys.get(wrapped.secret_id)
        if key is None:
            reason = f"LEDGER_PAYLOAD_SECRET lacks the secret {wrapped.secret_id} that wraps its key"
            raise PayloadKeyMissingError(task_id=task_id, reason=reason)
        nonce, sealed = wrapped.wrapped[:NONCE_BYTES], wrapped.wrapped[NONCE_BYTES:]
        return _decrypted(key, nonce, sealed, task_id)


def _derived(secret: str, label: bytes) -> bytes:
    return hmac.digest(secret.encode(), label, "sha256")


def _encrypted(key: bytes, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - most processes need none

    return AESGCM(key).encrypt(nonce, plain, associated)


def _decrypted(key: bytes, nonce: bytes, sealed: bytes, task_id: UUID) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as above

    try:
        return AESGCM(key).decrypt(nonce, sealed, _associated(task_id))
    except (InvalidTag, ValueError) as error:
        raise PayloadKeyMissingError(task_id=task_id, reason="its wrapped key was altered") from error


def _associated(task_id: UUID) -> bytes:
    return f"task-ledger.payload-key v1 {task_id}".encode()
