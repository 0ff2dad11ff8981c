"""What an actor tells of itself: metrics and their endpoint, logs, timings."""
