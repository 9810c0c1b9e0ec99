"""The payload keys: a claim of an erasable task gets the key that opens its input and seals its outcome."""

from dataclasses import replace

from ledger.errors import PayloadKeyMissingError, PayloadSealError, StoreRefusedError, StoreUnavailableError
from ledger.payloads.vault import PayloadVault
from worker.claims import Claim
from worker.store_outage import StoreOutage


class PayloadKeys:
    """Unlocks claims; an attempt keeps its key as long as it runs, and what runs cannot be erased."""

    def __init__(self, vault: PayloadVault, outage: StoreOutage) -> None:
        self._vault = vault
        self._outage = outage

    async def unlocked(self, claim: Claim) -> Claim:
        """Return the claim with its task's input opened, or with the reason why it cannot be."""
        if not claim.task.erasable:
            return claim
        while True:
            try:
                return await self._unlocked(claim)
            except (StoreUnavailableError, StoreRefusedError) as error:
                await self._outage.sit_out(error)

    async def _unlocked(self, claim: Claim) -> Claim:
        task = claim.task
        try:
            cipher = await self._vault.cipher_of(task.id)
            task.input = cipher.open("input", task.input)
        except PayloadKeyMissingError as error:
            return replace(claim, locked=error)
        except PayloadSealError as error:
            return replace(claim, locked=PayloadKeyMissingError(task_id=task.id, reason=str(error)))
        return replace(claim, cipher=cipher)
