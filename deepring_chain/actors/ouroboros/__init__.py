"""The ouroboros: the model's owner, start and end of every query."""
