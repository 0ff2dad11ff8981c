"""The auditors whom a model's owner admits to the evidence of verdicts: their public keys, in the owner's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import tomli_w

from deepring_chain.crypto.sealing import is_usable_key
from deepring_chain.errors import ConfigError
from deepring_chain.files import write_atomic
from deepring_chain.protocol.evidence import MAX_READERS
from deepring_chain.types import Digest, SealingKey

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

AUDITORS_FILE = "auditors.toml"
FORMAT = 1


class AuditorList:
    """The list, read anew whenever it is asked: who is admitted counts from the next verdict on.

    Args:
        folder: the ouroboros's.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / AUDITORS_FILE

    def keys(self) -> tuple[SealingKey, ...]:
        """X25519 public keys.

        Raises:
            ConfigError: the file is damaged.
        """
        try:
            data = tomllib.loads(self.path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ConfigError(f"{self.path}: format {data['format']}, this program reads {FORMAT}")
            return tuple(parse_auditor(entry["sealing_key"]) for entry in data.get("auditor", []))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(
                f"{self.path}: damaged ({str(error)[:200]}); mend it, or admit the auditors anew"
            ) from None

    def admit(self, key: SealingKey) -> bool:
        """Adds a key; returns whether it is new.

        Raises:
            ConfigError: there are too many, or the file cannot be read or written.
        """
        known = self.keys()
        if key in known:
            return False
        if len(known) + 1 >= MAX_READERS:
            raise ConfigError(f"{self.path}: {len(known)} auditors; there is room for {MAX_READERS - 1}")
        self._write((*known, key))
        return True

    def dismiss(self, key: SealingKey) -> None:
        """Removes a key: later verdicts are not sealed to it; what it can read already, it can.

        Raises:
            ConfigError: it is not there.
        """
        known = self.keys()
        if key not in known:
            raise ConfigError(f"{self.path}: no auditor with the key {key.hex()}")
        self._write(tuple(other for other in known if other != key))

    def _write(self, keys: tuple[SealingKey, ...]) -> None:
        entries = [{"sealing_key": key.hex()} for key in keys]
        write_atomic(self.path, tomli_w.dumps({"format": FORMAT, "auditor": entries}).encode())


def parse_auditor(text: object) -> SealingKey:
    """An auditor's public key as typed.

    Raises:
        ConfigError: it is none that anything can be sealed to.
    """
    try:
        raw = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        raw = b""
    key = SealingKey(Digest(raw))
    if len(raw) != 32 or not is_usable_key(key):
        raise ConfigError(f"auditor {str(text)[:80]}: not an X25519 public key; `deepring auditor-key` prints one")
    return key
