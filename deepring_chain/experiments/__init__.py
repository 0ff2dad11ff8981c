"""The paper's experiments on real data: `deepring experiment` (docs/experiments.md)."""
