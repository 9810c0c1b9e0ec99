"""Webhooks: the log, sent to whoever wants it over HTTP, signed, in order and none skipped."""
