"""Data sets and images from files."""
