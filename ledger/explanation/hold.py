"""Why a task is held back: its queue is paused, a limit is full, or it waits for other tasks. Pure."""

from ledger.explanation.terms import Because, Facts, said
from ledger.queues.policy import QueuePolicy, Rate
from ledger.queues.use import PermitUse, QueueUse
from ledger.task import Task
from ledger.task_words import HoldReason


def held(task: Task, facts: Facts) -> list[Because]:
    """Return why a pending task is held back, the first reason first."""
    if task.hold == HoldReason.AFTER:
        return _after(task, facts)
    use = facts.queue_use or QueueUse(policy=QueuePolicy(name=task.queue))
    return _paused(use) or [*_limits(task, use), *_others(use)] or [_nothing(use)]


def to_be_held(facts: Facts) -> list[Because]:
    """Return why a task that is ready is held back as soon as a worker takes it; empty where it is not."""
    use = facts.queue_use
    if use is None:
        return []
    queue = use.policy.name
    sentence = f"The queue {queue} has limits that have not let it through: a worker that takes it holds it back."
    return _paused(use) or [Because("limits", sentence)]


def _after(task: Task, facts: Facts) -> list[Because]:
    if not facts.parents:
        return [_after_none(task, facts)]
    names = ", ".join(f"{parent} ({status})" for parent, status in facts.parents.items())
    return [Because("after", f"It waits for tasks that have not completed: {names}.", {"parents": facts.parents})]


def _after_none(task: Task, facts: Facts) -> Because:
    details = {"after": [str(parent) for parent in task.after], "release_at": task.release_at}
    if task.release_at is not None and task.release_at > facts.now:
        until = f"{task.release_at:%Y-%m-%d %H:%M:%S}Z"
        sentence = f"The tasks that it waited for have completed; it waits until {until}, as it was submitted to."
        return Because("scheduled", sentence, details)
    sentence = "The tasks that it waited for have completed, and no scheduler has released it yet."
    return Because("due", sentence, details)


def _paused(use: QueueUse) -> list[Because]:
    policy = use.policy
    if policy.paused_at is None:
        return []
    actor, reason = use.paused_by or (None, "")
    by = f" by {actor}" if actor else ""
    sentence = f"The queue {policy.name} is paused since {said(policy.paused_at)}{by}"
    details = {"paused_at": policy.paused_at, "actor": actor, "reason": reason}
    return [Because("paused", f"{sentence}: {reason}." if reason else f"{sentence}.", details)]


def _limits(task: Task, use: QueueUse) -> list[Because]:
    policy = use.policy
    queue, key = f"the queue {policy.name}", f"the key {task.key}"
    found = [
        _concurrency("concurrency_max", queue, policy.concurrency_max, use.queue),
        _concurrency("key_concurrency_max", key, policy.key_concurrency_max, use.key),
        _rate("rate", queue, policy.rate, use.queue),
        _rate("key_rate", key, policy.key_rate, use.key),
    ]
    return [one for one in found if one is not None]


def _concurrency(code: str, whose: str, bound: int | None, use: PermitUse | None) -> Because | None:
    if bound is None or use is None or use.in_flight < bound:
        return None
    sentence = f"{use.in_flight} of {bound} tasks of {whose} run or are let through."
    return Because(code, sentence, {"in_flight": use.in_flight, code: bound})


def _rate(code: str, whose: str, rate: Rate | None, use: PermitUse | None) -> Because | None:
    if rate is None or use is None or use.starts < rate.count_max:
        return None
    taken = f"{use.starts} of {rate.count_max} starts of {whose} in {rate.seconds:g} s are taken"
    when = f"at about {said(use.next_start_at)}" if use.next_start_at else "so long after one of them has started"
    details = {
        "starts": use.starts,
        f"{code}_max": rate.count_max,
        f"{code}_s": rate.seconds,
        "next_start_at": use.next_start_at,
    }
    return Because(code, f"{taken}; the next one is free {when}.", details)


def _others(use: QueueUse) -> list[Because]:
    found = []
    if use.policy.is_managed and use.unstarted >= use.unstarted_max:
        counts = {"unstarted": use.unstarted, "unstarted_max": use.unstarted_max}
        sentence = f"{use.unstarted} tasks of the queue {use.policy.name} are let through and wait for a worker."
        found.append(Because("waiting_for_workers", sentence, counts))
    if use.tenants_ahead:
        names = ", ".join(tenant or "those without a name" for tenant in use.tenants_ahead)
        sentence = f"Tenants whose turn comes first: {names}."
        found.append(Because("tenants_ahead", sentence, {"tenants": list(use.tenants_ahead)}))
    if use.ahead:
        count = f"{use.ahead_max} or more" if use.ahead >= use.ahead_max else str(use.ahead)
        sentence = f"Tasks that the limits of the queue {use.policy.name} hold back and that come first: {count}."
        found.append(Because("behind_others", sentence, {"ahead": use.ahead}))
    return found


def _nothing(use: QueueUse) -> Because:
    if use.policy.is_managed:
        sentence = f"No limit of the queue {use.policy.name} is full: the scheduler is about to let it through."
        return Because("limit_free", sentence)
    sentence = f"The queue {use.policy.name} is open and has no limits (any more): it is about to be released."
    return Because("about_to_be_released", sentence)
