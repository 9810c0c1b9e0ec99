"""The errors of webhooks."""

from ledger.errors import ConflictError, LedgerError, NotFoundError, shortened


class WebhookNotFoundError(NotFoundError):
    """There is no webhook of this name."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no webhook {shortened(name)}")


class WebhookDeliveryNotFoundError(NotFoundError):
    """The log of a webhook has no such delivery, or not any more."""

    def __init__(self, *, name: str, delivery_id: int) -> None:
        self.name = name
        self.delivery_id = delivery_id
        super().__init__(f"the webhook {name} has no delivery {delivery_id} in its log")


class WebhookStateError(ConflictError):
    """A webhook is in a state that refuses this command."""

    def __init__(self, *, name: str, command: str, reason: str) -> None:
        self.name = name
        self.command = command
        self.reason = reason
        super().__init__(f"cannot {command} webhook {name}: {reason}")


class WebhookAddressError(LedgerError):
    """The host of a webhook is at no address that may be reached."""


class WebhookSignatureError(LedgerError):
    """A delivery that was received is not signed as it must be."""
