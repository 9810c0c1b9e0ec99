"""The rehearsal: a ledger in memory, a worker and a clock that jumps, behind the fixture of `api.testing`."""
