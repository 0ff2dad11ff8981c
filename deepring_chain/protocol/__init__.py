"""The protocol's rules as pure functions and records: bytes and events in, decisions out; no I/O."""
