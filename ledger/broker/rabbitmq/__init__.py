"""The RabbitMQ adapter of the broker port: durable work queues, confirmed publishes, consumers that come back."""

from ledger.broker.rabbitmq.broker import RabbitmqBroker
from ledger.broker.rabbitmq.consumer import Consumer

__all__ = ["Consumer", "RabbitmqBroker"]
