"""What an erasable task holds is sealed under its own key, and that key under a secret: nothing else opens it."""

from uuid import UUID, uuid4

import pytest
from pydantic import JsonValue

from ledger.codec import encode_pending
from ledger.errors import InvalidValueError, PayloadKeyMissingError, PayloadSealError
from ledger.payloads.cipher import ERASED, SEALED, Cipher, erased_value, sealed_text
from ledger.payloads.vault import PayloadVault, no_vault
from ledger.payloads.wrapping import PayloadSecrets, WrappedKey
from ledger.specification import TaskSpecification
from ledger.store.records import Origin
from ledger.task import Task
from tests.unit.test_task_matrix import NOW

KEY = bytes(range(32))
TASK_ID = uuid4()
OLD, NEW = "o" * 32, "n" * 32
ERROR: dict[str, JsonValue] = {"type": "ValueError", "message": "no such Ada", "traceback": "line 1"}


def test_a_sealed_value_shows_nothing_but_the_type_of_an_error() -> None:
    cipher = Cipher(TASK_ID, KEY)

    values: dict[str, JsonValue] = {"input": {"to": "Ada"}, "error": dict(ERROR), "message": "Ada"}
    sealed = {name: cipher.seal(name, value) for name, value in values.items()}

    assert "Ada" not in str(sealed)
    assert sealed["error"] == {"type": "ValueError", SEALED: sealed_text(sealed["error"])}
    assert {name: cipher.open(name, value) for name, value in sealed.items()} == values


def test_the_same_value_is_never_sealed_to_the_same_text() -> None:
    cipher = Cipher(TASK_ID, KEY)

    assert len({str(cipher.seal("input", "Ada")) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("task_id", "field", "key"),
    [(uuid4(), "result", KEY), (TASK_ID, "input", KEY), (TASK_ID, "result", bytes(32))],
    ids=["another task", "another field", "another key"],
)
def test_a_ciphertext_passes_for_no_other(task_id: UUID, field: str, key: bytes) -> None:
    sealed = Cipher(TASK_ID, KEY).seal("result", {"of": "Ada"})

    with pytest.raises(PayloadSealError):
        Cipher(task_id, key).open(field, sealed)


@pytest.mark.parametrize("text", ["v1.", "v1.AAAA", "v1.not base64!", "v1." + "A" * 80])
def test_what_is_no_ciphertext_is_refused(text: str) -> None:
    with pytest.raises(PayloadSealError):
        Cipher(TASK_ID, KEY).open("result", {SEALED: text})


def test_an_erased_value_keeps_its_shape_and_the_type_of_an_error() -> None:
    cipher = Cipher(TASK_ID, KEY)

    assert erased_value("input", cipher.seal("input", 1)) == {ERASED: True}
    assert erased_value("error", cipher.seal("error", dict(ERROR))) == {"type": "ValueError", ERASED: True}
    assert erased_value("message", cipher.seal("message", "half")) == ERASED
    assert erased_value("error", dict(ERROR)) == ERROR


def test_a_wrapped_key_needs_its_secret_and_its_task() -> None:
    wrapped = PayloadSecrets([OLD]).wrap(TASK_ID, KEY)

    assert PayloadSecrets([NEW, OLD]).unwrap(TASK_ID, wrapped) == KEY
    assert KEY not in wrapped.wrapped
    for secrets, task_id in ((PayloadSecrets([NEW]), TASK_ID), (PayloadSecrets([OLD]), uuid4())):
        with pytest.raises(PayloadKeyMissingError) as refused:
            secrets.unwrap(task_id, wrapped)
        assert OLD not in str(refused.value)


def test_an_altered_wrapping_is_refused() -> None:
    secrets = PayloadSecrets([OLD])
    wrapped = secrets.wrap(TASK_ID, KEY)

    with pytest.raises(PayloadKeyMissingError, match="altered"):
        secrets.unwrap(TASK_ID, WrappedKey(wrapped.wrapped[:-1] + b"\0\0", wrapped.secret_id))


def test_without_a_secret_nothing_is_erasable() -> None:
    with pytest.raises(InvalidValueError, match="erasable must be false while LEDGER_PAYLOAD_SECRET is not set"):
        no_vault().new_key(TASK_ID, ())


def test_every_task_is_erasable_where_that_is_set() -> None:
    assert PayloadVault(None, PayloadSecrets([NEW]), erases_all=True).is_erasable(asked=False)
    assert not no_vault().is_erasable(asked=False)


def test_what_a_handler_says_of_an_erasable_task_is_never_recorded_in_clear() -> None:
    task = Task.submit(TASK_ID, TaskSpecification(erasable=True), now=NOW)
    task.collect_events()
    task.start(worker_id="w", now=NOW)
    task.complete(attempt=1, result="Ada", now=NOW)

    with pytest.raises(PayloadKeyMissingError):
        encode_pending(task, origin=Origin(actor="worker:w"))
