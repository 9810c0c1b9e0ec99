"""The tests: each brings its own Postgres and RabbitMQ, and asserts behaviour that can fail."""
