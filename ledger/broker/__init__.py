"""The message broker: one port, a memory adapter and a RabbitMQ adapter."""
