"""Who acts: ouroboros, workers, querent and auditor, and the processes that they run in."""
