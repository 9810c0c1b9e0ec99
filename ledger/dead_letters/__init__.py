"""Dead letters: failed tasks and rejected messages that wait for somebody to redrive or to discard them."""
