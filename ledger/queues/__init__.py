"""What is set for the queues, and what they hold back and let through."""
