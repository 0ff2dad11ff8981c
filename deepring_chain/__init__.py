"""DeepRing on Ethereum: deep-learning inference whose every step is on a tamper-evident public record."""

__version__ = "0.1.0"
