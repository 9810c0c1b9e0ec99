"""The workers as an operator sees them: whether each lives, what it runs, and that it may be drained."""
