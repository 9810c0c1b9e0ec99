"""The SQL statements of Task Ledger, shipped as data: this package imports nothing and runs nothing."""
