"""The networks that the package trains itself, and their accuracies."""
