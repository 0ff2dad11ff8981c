"""An actor's life in a process, and the host of a ring's processes."""
