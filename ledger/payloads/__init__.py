"""Payloads that can be erased: encrypted in the ledger from the beginning, each task's under a key of its own."""
