"""The dashboard: pages that are made on the server from what the API answers."""
