"""The settlement: which deliveries of a channel are unsettled, and the frames that settle them."""

import asyncio
from collections import OrderedDict

from ledger.broker.rabbitmq.channel import Channel
from ledger.broker.rabbitmq.frames import ack_frame, dead_letter_frame


class Settlement:
    """Settles the deliveries of one channel; the acks of one turn of the event loop go out together.

    An ack with `multiple` covers every unsettled delivery up to its tag, and the server closes the channel on a
    tag that is not unsettled. So `multiple` names the last delivery of the prefix in which all are acked, and what
    lies behind a gap is acked one by one.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._unsettled: OrderedDict[int, None] = OrderedDict()  # its first key is found at once, a dict's is not
        self._acked: set[int] = set()  # in this turn: no frame yet
        self._is_flush_due = False

    def arrived(self, tag: int) -> None:
        """Note a delivery; tags come in ascending order."""
        self._unsettled[tag] = None

    def holds(self, tag: int) -> bool:
        """Return whether a delivery is still to be settled, and can be."""
        return tag in self._unsettled and self._channel.is_open

    def ack(self, tag: int) -> None:
        """Ack a delivery at the end of this turn; nothing where it is settled or the channel is gone."""
        if not self.holds(tag):
            return
        del self._unsettled[tag]
        self._acked.add(tag)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def dead_letter(self, tag: int) -> None:
        """Leave it to the server to dead-letter a delivery; nothing where it is settled or the channel is gone."""
        if not self.holds(tag):
            return
        del self._unsettled[tag]
        self._channel.write(dead_letter_frame(tag, channel_number=self._channel.number))

    def flush(self) -> None:
        """Send the acks of this turn."""
        self._is_flush_due = False
        if not self._acked:
            return
        first_unsettled = next(iter(self._unsettled), max(self._acked) + 1)
        prefix = [tag for tag in self._acked if tag < first_unsettled]
        frames: list[bytes] = []
        if prefix:
            frames.append(ack_frame(max(prefix), channel_number=self._channel.number, multiple=True))
        frames += [
            ack_frame(tag, channel_number=self._channel.number, multiple=False)
            for tag in self._acked.difference(prefix)
        ]
        self._acked.clear()
        self._channel.write(b"".join(frames))
