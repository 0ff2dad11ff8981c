"""What each member of the ring does next: frozen views in, actions out.

Nothing here reads, waits or computes: actors read what an action asks for, add it to the view, and
ask again. Views and actions are plain values, so that a test is a row of a table.
"""
