"""One file a page: what it asks the API for, and what it makes of that."""
