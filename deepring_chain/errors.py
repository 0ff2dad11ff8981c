"""The errors that this package raises on purpose.

Every error names what is wrong, where, and what to do about it, in one line. The command line prints that line
and exits with 1; anything else that escapes is a defect.
"""


class DeepRingError(Exception):
    """Root of all errors that are raised on purpose."""


class ConfigError(DeepRingError):
    """A ring folder, an option, a key file or a password is missing or unusable."""


class ProtocolError(DeepRingError):
    """Bytes or events break a rule of the protocol."""


class ChainError(DeepRingError):
    """The node, the chain or the ledger refused or could not be reached."""


class StoreError(DeepRingError):
    """The ciphertext store cannot be read or written, or returned other bytes than were asked for."""


class ModelError(DeepRingError):
    """A model, a layer, an image or a checkpoint is unusable."""
