"""The true side: the ledger of events, and what appends to it, reads it and publishes from it."""
