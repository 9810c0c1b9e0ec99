"""The programs that a peer's own interpreter runs; nothing here imports Task Ledger, but our own program."""
