"""What an operator sees of a ring: a snapshot of everything, and what is wrong with it."""
