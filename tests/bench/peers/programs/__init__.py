"""The programs that a peer's own interpreter runs; nothing here imports Task Ledger, but for the program that is ours."""
