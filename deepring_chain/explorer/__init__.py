"""Showing the public record to people: one view model for the `trail` command, the live page and the report."""
