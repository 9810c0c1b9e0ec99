"""Requests that nobody would think of, sent to every operation of the OpenAPI document."""
