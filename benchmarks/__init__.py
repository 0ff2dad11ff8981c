"""Measurements; each file asks one question and answers it in `results/`. `make bench` runs them (CONTRIBUTING.md)."""
