"""Ed25519 keys: an operator signs with his private one, vehicles are told the public one.

A private key is a PEM file that its owner alone may read (PKCS 8, as `openssl genpkey -algorithm ed25519` writes it).
A public key is one line, `ed25519:<base64>`, that stands in a vehicle's config.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from .errors import ConfigError

_PREFIX: Final = "ed25519:"
_SHAPE: Final = f"{_PREFIX} and 44 characters of base64, as `dicem keygen` prints it"


@dataclass(frozen=True)
class PublicKey:
    """What a signature is held against; `raw` are its 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key that a line says.

        :raises ValueError: it says none
        """
        try:
            raw = base64.b64decode(text.strip().removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if not text.strip().startswith(_PREFIX) or len(raw) != 32:
            raise ValueError(f"no public key: expected {_SHAPE}")
        return cls(raw)

    @property
    def text(self) -> str:
        """As it stands in a config."""
        return _PREFIX + base64.b64encode(self.raw).decode()

    @cached_property
    def id(self) -> str:
        """16 hex digits that name it."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether the signature of `data` was made with the private half."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


class OperatorKey:
    """An operator's private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes_raw())

    @classmethod
    def load(cls, path: Path) -> OperatorKey:
        """The key in a PEM file.

        :raises ConfigError: it cannot be read, others may read it too, or it is no Ed25519 key without a password
        """
        try:
            data, mode = path.read_bytes(), path.stat().st_mode
        except OSError as cause:
            todo = "Make one with: dicem keygen"
            raise ConfigError(
                f"the operator's key {path} cannot be read", got=cause.strerror or "", todo=todo
            ) from None
        if mode & 0o077:
            raise ConfigError(f"others may read the operator's key {path}", todo=f"Run: chmod 600 {path}")
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            expected = "an Ed25519 private key in PEM, without a password"
            raise ConfigError(f"{path} is no operator's key", expected=expected, todo="Make one with: dicem keygen")
        return cls(key)

    @classmethod
    def create(cls, path: Path) -> OperatorKey:
        """A new key, written to a file that its owner alone may read.

        :raises ConfigError: the file is there already, or cannot be written
        """
        made = cls(Ed25519PrivateKey.generate())
        pem = made._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(pem)
        except FileExistsError:
            raise ConfigError(
                f"{path} is there already", todo="Choose another name: a key is never overwritten."
            ) from None
        except OSError as cause:
            raise ConfigError(f"{path} cannot be written", got=cause.strerror or str(cause)) from None
        return made

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        return self._private.sign(data)
