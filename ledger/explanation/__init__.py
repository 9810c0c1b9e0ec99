"""Why a task is where it is, in words and in data."""
