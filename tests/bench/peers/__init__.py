"""Other queues beside ours: each in an environment of its own, with the same jobs on the same servers."""
