"""The seen side: read models folded from the ledger, disposable and rebuilt by replay."""
