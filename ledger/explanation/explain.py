"""The explanation: why a task is not running, or why it ended as it did, in words and in data.

Pure: what is known comes in as facts (ledger.explanation.facts collects them), nothing here asks anybody. A ready
task can have several reasons at once, the first one is what the summary says:

    its queue will hold it back · not published · its message died · no live worker · overtaken ·
    all workers busy · its turn has not come · its message may be lost
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta

from ledger.explanation.hold import held, to_be_held
from ledger.explanation.terms import Because, Bounds, Explanation, Facts, said
from ledger.payloads.cipher import is_erased_value, sealed_text
from ledger.task import Task
from ledger.task_words import Cause, HoldReason, Status


def explain(task: Task, facts: Facts, bounds: Bounds) -> Explanation:
    """Return why the task is not running, how it runs, or why it ended."""
    because = _EXPLAIN[task.status](task, facts, bounds)
    shown: dict[str, object] = {name: getattr(task, name) for name in _SHOWN}
    surroundings = asdict(facts)
    shown |= {name: surroundings[name] for name in _surroundings(task)}
    return Explanation(str(task.id), str(task.status), because[0].sentence, shown, because)


def _surroundings(task: Task) -> Sequence[str]:
    if task.status is Status.RUNNING:
        return ("now", "owner")
    if task.hold is not None:
        return ("now", "parents") if task.hold == HoldReason.AFTER else ("now", "queue_use")
    return _OF_READY if task.ready else ("now",)


def _completed(task: Task, _facts: Facts, _bounds: Bounds) -> list[Because]:
    sentence = f"Attempt {task.attempt} completed it at {said(task.finished_at)}."
    return [Because("completed", sentence, {"attempt": task.attempt, "finished_at": task.finished_at})]


def _failed(task: Task, _facts: Facts, bounds: Bounds) -> list[Because]:
    details = {"cause": task.cause, "error": task.error, "finished_at": task.finished_at}
    if task.cause == Cause.PARENT:
        return [Because("parent_failed", f"It failed at {said(task.finished_at)}: {_error(task)}.", details)]
    what = f"Attempt {task.attempt} failed at {said(task.finished_at)}: {_error(task)}."
    return [Because("failed", what, details), _why_no_retry(task, bounds), *_set_aside(task)]


def _set_aside(task: Task) -> list[Because]:
    return [Because("discarded", "It was set aside as dealt with.")] if task.discarded else []


def _why_no_retry(task: Task, bounds: Bounds) -> Because:
    if task.cause == Cause.WORKER_LOST:
        sentence = f"{task.losses} of {bounds.attempts_lost_max} attempts were lost with their worker."
        return Because("losses_spent", sentence, {"losses": task.losses, "losses_max": bounds.attempts_lost_max})
    counts = {"failures": task.failures, "max_attempts": task.max_attempts}
    if task.failures >= task.max_attempts:
        sentence = f"All {task.max_attempts} attempts that it may fail are spent."
        return Because("attempts_spent", sentence, counts)
    sentence = f"The error is not to be retried, after {task.failures} of {task.max_attempts} failures."
    return Because("not_retryable", sentence, counts)


def _cancelled(task: Task, facts: Facts, _bounds: Bounds) -> list[Because]:
    actor, reason = facts.cancelled_by or (task.cancel_actor, task.cancel_reason)
    sentence = f"{actor} cancelled it at {said(task.finished_at)}" + (f": {reason}." if reason else ".")
    return [Because("cancelled", sentence, {"actor": actor, "reason": reason, "finished_at": task.finished_at})]


def _running(task: Task, facts: Facts, bounds: Bounds) -> list[Because]:
    since = task.started_at or facts.now
    deadline = since + timedelta(seconds=task.timeout_s)
    where = f"Attempt {task.attempt} runs on worker {task.worker_id}"
    sentence = f"{where} since {said(since)}, until {said(deadline)} at most."
    details = {"attempt": task.attempt, "worker_id": task.worker_id, "since": since, "deadline": deadline}
    because = [Because("running", sentence, details), *_owner(task, facts, bounds)]
    if task.cancel_requested:
        asked = f"{task.cancel_actor} asked for it to be cancelled; its worker has not confirmed yet."
        because.append(
            Because("cancel_requested", asked, {"actor": task.cancel_actor, "reason": task.cancel_reason})
        )
    return because


def _owner(task: Task, facts: Facts, bounds: Bounds) -> list[Because]:
    owner = facts.owner
    if owner is None:
        sentence = f"Worker {task.worker_id} is not known (any more); the sweeper ends the attempt as lost."
        return [Because("worker_unknown", sentence, {"worker_id": task.worker_id})]
    silent = _seconds(facts.now - owner.beat_at)
    details = {"last_beat_at": owner.beat_at, "silent_seconds": silent}
    if owner.stopped_at is not None:
        sentence = f"Its worker left at {said(owner.stopped_at)}; the sweeper ends the attempt as lost."
        return [Because("worker_left", sentence, {"stopped_at": owner.stopped_at})]
    if silent > bounds.lease_seconds:
        sentence = f"Its worker has not beaten for {silent:g} s; the sweeper ends the attempt as lost."
        return [Because("worker_silent", sentence, details)]
    return [Because("worker_alive", f"Its worker's last beat was {silent:g} s ago.", details)]


def _pending(task: Task, facts: Facts, bounds: Bounds) -> list[Because]:
    if task.hold is not None:
        return held(task, facts)
    if not task.ready:
        return [_waiting(task, facts)]
    return _ready(task, facts, bounds)


def _waiting(task: Task, facts: Facts) -> Because:
    details = {"release_at": task.release_at, "failures": task.failures, "max_attempts": task.max_attempts}
    if task.release_at is not None and task.release_at <= facts.now:
        sentence = f"It is due since {said(task.release_at)}, and no scheduler has released it yet."
        return Because("due", sentence, details)
    until = f"It waits until {said(task.release_at)}"
    if task.cause is None:
        return Because("scheduled", f"{until}, as it was submitted to.", details)
    if task.cause in (Cause.ERROR, Cause.TIMEOUT):
        sentence = f"{until} to be retried, after failure {task.failures} of {task.max_attempts}: {_error(task)}."
        return Because("retry", sentence, {**details, "cause": task.cause, "error": task.error})
    sentence = f"{until} to be retried, because attempt {task.attempt} ended without an outcome: {_error(task)}."
    return Because("retry", sentence, {**details, "cause": task.cause, "error": task.error, "losses": task.losses})


def _ready(task: Task, facts: Facts, bounds: Bounds) -> list[Because]:
    since = facts.ready_at or facts.now
    found = to_be_held(facts)
    found += [one for check in _CHECKS if (one := check(task, facts, bounds)) is not None]
    if not found:
        sentence = f"It is ready since {said(since)} and its message is on the way to a worker."
        found = [Because("on_its_way", sentence, {"ready_at": since})]
    return found


def _not_published(_task: Task, facts: Facts, _bounds: Bounds) -> Because | None:
    if facts.ready_position <= facts.published_position:
        return None
    details = {"position": facts.ready_position, "published_position": facts.published_position}
    return Because("not_published", "The relay has not published yet that it is ready.", details)


def _died(_task: Task, facts: Facts, _bounds: Bounds) -> Because | None:
    letter = facts.dead_message
    if letter is None:
        return None
    sentence = (
        f"Its message died at {said(letter.collected_at)}: {letter.reason}; redrive it, as {letter.letter_id}."
    )
    return Because("dead_letter", sentence, {"letter_id": letter.letter_id, "reason": letter.reason})


def _no_worker(task: Task, facts: Facts, _bounds: Bounds) -> Because | None:
    if facts.workers:
        return None
    return Because("no_worker", f"No live worker serves the queue {task.queue}.", {"queue": task.queue})


def _overtaken(task: Task, facts: Facts, bounds: Bounds) -> Because | None:
    # The reconciler's own rule (ledger.reconciler): ready before the front by the bound, for the bound, published.
    bound = timedelta(seconds=bounds.reconcile_after_seconds)
    if not _is_overdue(facts, bounds) or facts.front is None or facts.ready_at is None:
        return None
    if facts.ready_at >= facts.front - bound:
        return None
    seconds = bounds.reconcile_every_seconds
    sentence = (
        f"A task of the queue {task.queue} that was submitted much later runs already, so its message is probably "
        f"lost; the reconciler releases it again in {seconds:g} s at most."
    )
    return Because("overtaken", sentence, {"front": facts.front, "released_within_seconds": seconds})


def _all_busy(task: Task, facts: Facts, _bounds: Bounds) -> Because | None:
    if not facts.workers or any(worker.running < worker.capacity for worker in facts.workers):
        return None
    running = sum(worker.running for worker in facts.workers)
    sentence = (
        f"All live workers of the queue {task.queue} ({len(facts.workers)}) are busy, with {running} attempts."
    )
    capacity = sum(worker.capacity for worker in facts.workers)
    details = {"workers": len(facts.workers), "running": running, "capacity": capacity}
    return Because("workers_busy", sentence, details)


def _not_its_turn(task: Task, facts: Facts, _bounds: Bounds) -> Because | None:
    if not facts.ahead:
        return None
    count = f"{facts.ahead_max} or more" if facts.ahead >= facts.ahead_max else str(facts.ahead)
    sentence = f"Ready tasks of the queue {task.queue} that became ready before it: {count}."
    return Because("behind_others", sentence, {"ahead": facts.ahead})


def _may_be_lost(_task: Task, facts: Facts, bounds: Bounds) -> Because | None:
    if not _is_overdue(facts, bounds) or facts.ahead or not facts.workers:
        return None
    seconds = bounds.reconcile_after_seconds + bounds.reconcile_every_seconds
    sentence = (
        f"It is ready since {said(facts.ready_at)}, with nothing before it: its message may be lost; "
        f"the reconciler sends a probe and releases it again in about {seconds:g} s."
    )
    return Because("maybe_lost", sentence, {"ready_at": facts.ready_at, "released_within_seconds": seconds})


def _is_overdue(facts: Facts, bounds: Bounds) -> bool:
    if facts.ready_at is None or facts.ready_position > facts.published_position:
        return False
    return _seconds(facts.now - facts.ready_at) > bounds.reconcile_after_seconds


def _error(task: Task) -> str:
    error = task.error or {}
    if is_erased_value(error) or sealed_text(error) is not None:
        return f"{error.get('type')}, its message {'erased' if is_erased_value(error) else 'encrypted'}"
    return f"{error.get('type')}: {error.get('message')}"


def _seconds(span: timedelta) -> float:
    return round(max(0.0, span.total_seconds()), 1)


_Check = Callable[[Task, Facts, Bounds], Because | None]

_CHECKS: tuple[_Check, ...] = (
    _not_published,
    _died,
    _no_worker,
    _overtaken,
    _all_busy,
    _not_its_turn,
    _may_be_lost,
)
_EXPLAIN: dict[Status, Callable[[Task, Facts, Bounds], list[Because]]] = {
    Status.PENDING: _pending,
    Status.RUNNING: _running,
    Status.COMPLETED: _completed,
    Status.FAILED: _failed,
    Status.CANCELLED: _cancelled,
}
_OF_READY = (
    "now", "ready_at", "ready_position", "published_position", "workers", "ahead", "ahead_max", "front",
    "queue_use", "dead_message",
)  # fmt: skip
_SHOWN = (
    "queue", "priority", "ready", "release_at", "attempt", "failures", "losses", "max_attempts", "timeout_s",
    "worker_id", "started_at", "finished_at", "cancel_requested",
)  # fmt: skip
