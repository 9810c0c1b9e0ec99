"""Seals: the log fixed by chained Merkle trees, verified against them, and the evidence of one task."""
