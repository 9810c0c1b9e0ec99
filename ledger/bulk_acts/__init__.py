"""Bulk acts: what is done about many dead letters or tasks, at a rate, by the scheduler."""
