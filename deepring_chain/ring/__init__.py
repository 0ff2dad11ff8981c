"""A ring on disk: its folder, how it is created and deployed, its options, and who runs it."""
