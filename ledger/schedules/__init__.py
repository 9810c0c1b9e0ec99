"""Recurring tasks: when they fire, and that each fire is one task."""
