"""How a publisher counts the broker's answers, whatever their order."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from ledger.broker.rabbitmq.confirms import Confirms
from ledger.broker.rabbitmq.frames import Publication

_FIRST_TAG = 41


@given(st.lists(st.sampled_from(["taken", "refused", "returned"]), min_size=1, max_size=30), st.data())
def test_prefix_is_what_was_taken_without_a_gap(outcomes: list[str], data: st.DataObject) -> None:
    async def scenario() -> None:
        confirms = Confirms([_publication(index) for index in range(len(outcomes))], first_tag=_FIRST_TAG)
        unanswered = list(range(len(outcomes)))
        for index in [index for index in unanswered if outcomes[index] == "returned"]:
            confirms.give_back(f"message:{index}", "key")

        while unanswered:
            assert not confirms.done.done()
            index = data.draw(st.sampled_from(unanswered))
            taken = outcomes[index] != "refused"
            up_to_here = [other for other in unanswered if other <= index]
            multiple = all((outcomes[other] != "refused") == taken for other in up_to_here)
            confirms.answer(_FIRST_TAG + index, multiple=multiple, taken=taken)
            for other in up_to_here if multiple else [index]:
                unanswered.remove(other)
            assert confirms.prefix() == _prefix(outcomes, unanswered)

        assert confirms.done.done()

    asyncio.run(scenario())


def test_answers_to_an_earlier_run_are_ignored() -> None:
    async def scenario() -> None:
        confirms = Confirms([_publication(0), _publication(1)], first_tag=_FIRST_TAG)

        confirms.answer(_FIRST_TAG - 1, multiple=True, taken=True)
        confirms.answer(_FIRST_TAG - 2, multiple=False, taken=False)

        assert confirms.prefix() == 0
        assert confirms.refused == []

    asyncio.run(scenario())


def _publication(index: int) -> Publication:
    return Publication(
        exchange="exchange",
        routing_key="key",
        message_id=f"message:{index}",
        properties=b"",
        body=b"",
        queue="queue",
        mandatory=True,
    )


def _prefix(outcomes: list[str], unanswered: list[int]) -> int:
    blocked = [index for index, outcome in enumerate(outcomes) if outcome != "taken" and index not in unanswered]
    returned = [index for index, outcome in enumerate(outcomes) if outcome == "returned"]
    return min([*unanswered, *blocked, *returned], default=len(outcomes))
