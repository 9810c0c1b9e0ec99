"""The Python client of a running Task Ledger; `api.client` is the place to import it from."""
