"""The asking side: the HTTP API, its client, and the command line."""
