"""How far an audit has come, in a file: a long one goes on where it stopped, a daily one reads what is new.

The file is bound to chain, ledger, store, code and auditor, and to the last block's hash: an audit goes on only on the
very chain that it came from. Its digest finds damage; who can write it is trusted with the result, as with the program.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deepring_chain.audit.blobs import BlobState
from deepring_chain.audit.evidence import EvidenceState
from deepring_chain.audit.faults import Faults
from deepring_chain.chain.artifact import load_artifact
from deepring_chain.chain.block_place import BlockPlace
from deepring_chain.crypto.digest import sha256
from deepring_chain.encoding import decode_fields, encode_fields
from deepring_chain.errors import ConfigError, ProtocolError
from deepring_chain.files import write_atomic
from deepring_chain.protocol.audit_step import Terms
from deepring_chain.protocol.plain import from_plain, to_plain
from deepring_chain.protocol.verifier_report import TrailState
from deepring_chain.types import Digest

VERSION = 2
"""Of what the file holds: another version's is refused."""

MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class AuditIdentity:
    """What an audit is of, and with what it is made; a file of another one is refused.

    Attributes:
        terms: of the ledger, with chain and address.
        first_block: where it began.
        store: URL of the store.
        source_hash: of the contracts that the ledger is held to.
        auditor: public key of the auditor who replays verdicts; None without one.
        model: root of the model that it replays them with; None without one.
    """

    terms: Terms
    first_block: int
    store: str
    source_hash: str
    auditor: Digest | None = None
    model: Digest | None = None

    @classmethod
    def of(
        cls, terms: Terms, first_block: int, store: str, auditor: Digest | None = None, model: Digest | None = None
    ) -> AuditIdentity:
        """With the contracts of this release."""
        return cls(terms, first_block, store, load_artifact().source_hash, auditor, model)


@dataclass(frozen=True)
class AuditCounts:
    """What was compared so far: blocks, roots, values of the deployment, of inputs and of the storage."""

    blocks: int = 0
    roots: int = 0
    code_values: int = 0
    input_values: int = 0
    indirect_calls: int = 0
    stored_values: int = 0
    found_deployment: bool = False


@dataclass(frozen=True)
class AuditState:
    """All that an audit knows between two blocks.

    Attributes:
        identity: what it is of.
        last: the last block that was checked whole.
        counts, trail, blobs, evidence: what was found up to it.
        faults: what was wrong up to it.
    """

    identity: AuditIdentity
    last: BlockPlace
    counts: AuditCounts
    trail: TrailState
    blobs: BlobState
    evidence: EvidenceState
    faults: Faults

    def encode(self) -> bytes:
        """Deterministic CBOR, and its SHA-256."""
        content = encode_fields("audit-state", [VERSION, to_plain(self)])
        return content + sha256(content)

    @classmethod
    def decode(cls, data: bytes) -> AuditState:
        """Inverse of `encode`.

        Raises:
            ProtocolError: damaged, or of another version.
        """
        content, digest = data[:-32], data[-32:]
        if sha256(content) != digest:
            raise ProtocolError("its bytes have another digest than it says")
        version, plain = decode_fields(content, "audit-state", [int, list])
        if version != VERSION:
            raise ProtocolError(f"version {version}, this program reads {VERSION}")
        return from_plain(cls, plain)


class ProgressFile:
    """The file that an audit goes on from and writes to.

    Args:
        path: the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, identity: AuditIdentity) -> AuditState | None:
        """Where an audit of the same thing stopped; None if it never began.

        Raises:
            ConfigError: damaged, or of another audit.
        """
        data = self._read()
        if data is None:
            return None
        try:
            state = AuditState.decode(data)
        except ProtocolError as error:
            raise ConfigError(f"{self.path}: not usable ({error}); {self._advice}") from None
        for name in ("terms", "first_block", "store", "source_hash", "auditor", "model"):
            held, wanted = getattr(state.identity, name), getattr(identity, name)
            if held != wanted:
                raise ConfigError(f"{self.path}: of another audit ({name}: {held}, not {wanted}); {self._advice}")
        return state

    def refuse_chain(self, last: BlockPlace, found: str) -> ConfigError:
        """The error for a file whose last block this chain does not have."""
        held = f"block {last.number} with hash 0x{last.block_hash.hex()}"
        return ConfigError(f"{self.path}: made on another chain ({held}; here {found}); {self._advice}")

    def save(self, state: AuditState) -> None:
        """Writes the file anew, so that a crash leaves the old one or the new.

        Raises:
            ConfigError: it cannot be written.
        """
        write_atomic(self.path, state.encode(), 0o600)

    @property
    def _advice(self) -> str:
        return "name another file, or remove it to begin anew"

    def _read(self) -> bytes | None:
        try:
            if os.path.getsize(self.path) > MAX_BYTES:  # noqa: PTH202 - a path that is a folder fails below
                raise ConfigError(f"{self.path}: larger than {MAX_BYTES} bytes; {self._advice}")
            return self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({error.strerror}); {self._advice}") from None
