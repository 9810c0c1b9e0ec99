"""`python -m ledger relay`, `python -m ledger scheduler`, `python -m ledger migrate`."""

from ledger.cli import app

if __name__ == "__main__":
    app()
