"""The handlers that ship with Task Ledger."""
