"""The `deepring` command."""
