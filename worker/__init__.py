"""The doing side: handlers, and the consumer that runs them as fenced attempts."""
