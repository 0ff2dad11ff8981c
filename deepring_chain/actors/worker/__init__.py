"""The worker of one block."""
