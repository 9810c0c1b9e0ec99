"""Chaos: faults injected under load, and what must hold after them."""
