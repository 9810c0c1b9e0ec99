"""The history over all tasks: the search of the log, its follower, and the audit."""
