"""The confirms: which messages of one run of publishes the broker has taken, refused or returned."""

import asyncio
from collections.abc import Sequence

from pamqp import commands
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from ledger.broker.rabbitmq.frames import Publication


class Confirms:
    """The answers to a run of publishes whose delivery tags follow each other.

    Answers come out of order, one by one or for all up to a tag. A message that no queue took is returned first
    and confirmed all the same; so a message is safe when it was answered with an ack and not returned.
    """

    def __init__(self, publications: Sequence[Publication], *, first_tag: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = 0  # the length of the prefix in which every message has its answer
        self.refused: list[int] = []
        self.returned: list[int] = []
        self._publications = publications
        self._first_tag = first_tag
        self._ahead: set[int] = set()

    def prefix(self) -> int:
        """Return the length of the contiguous prefix that the broker has taken."""
        return min((self.answered, *self.refused, *self.returned))

    def answer(self, tag: int, *, multiple: bool, taken: bool) -> None:
        """Note an ack or a nack; what belongs to an earlier run is ignored."""
        index = tag - self._first_tag
        if index < 0 or self.done.done():
            return
        if not taken:
            first = self.answered if multiple else index
            self.refused += [i for i in range(first, index + 1) if i not in self._ahead]
        if multiple:
            self.answered = max(self.answered, index + 1)
        else:
            self._ahead.add(index)
        while self.answered in self._ahead:
            self._ahead.discard(self.answered)
            self.answered += 1
        if self.answered >= len(self._publications):
            self.done.set_result(None)

    def give_back(self, message_id: str, routing_key: str) -> None:
        """Note a return. They come in the order of the publishes, so the search goes on after the last one."""
        start = self.returned[-1] + 1 if self.returned else 0
        for index in range(start, len(self._publications)):
            publication = self._publications[index]
            if publication.message_id == message_id and publication.routing_key == routing_key:
                self.returned.append(index)
                return

    def lose(self, reason: Exception) -> None:
        """End the wait, because no more answers will come."""
        if not self.done.done():
            self.done.set_exception(reason)
            self.done.exception()  # nobody may be waiting


class ConfirmSink:
    """Takes the frames that arrive for a publishing channel and hands them to the run that is on."""

    def __init__(self) -> None:
        self.confirms: Confirms | None = None
        self._returned: commands.Basic.Return | None = None

    def __call__(self, frame: object) -> bool:
        """Take a confirm or a part of a returned message; leave the rest to the library."""
        match frame:
            case commands.Basic.Ack() | commands.Basic.Nack():
                if self.confirms is not None:
                    taken = isinstance(frame, commands.Basic.Ack)
                    self.confirms.answer(frame.delivery_tag or 0, multiple=frame.multiple, taken=taken)
            case commands.Basic.Return():
                self._returned = frame
            case ContentHeader():
                self._give_back(frame)
            case ContentBody():
                pass  # of a returned message: we have it still
            case _:
                return False
        return True

    def lose(self, reason: Exception) -> None:
        """End the run that is on."""
        if self.confirms is not None:
            self.confirms.lose(reason)

    def _give_back(self, header: ContentHeader) -> None:
        if self.confirms is not None and self._returned is not None:
            self.confirms.give_back(header.properties.message_id or "", self._returned.routing_key or "")
        self._returned = None
