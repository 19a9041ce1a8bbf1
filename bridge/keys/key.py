"""One API key: how it is made, written, and compared with what a caller has sent. Pure, but for the random secret.

What a caller sends is `bk_ID_SECRET`. Of the secret only its SHA-256 is kept: it is 32 random bytes, so nobody finds it
from that, and no slow hash is needed. Nothing here puts a secret or its hash into a text that is shown.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

RoleName = Literal["call", "admin"]
ROLE_NAMES: tuple[RoleName, ...] = ("call", "admin")
NAME_FORM = "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TENANT = re.compile(r"[\x20-\x7e]{1,256}")
_ID = re.compile(r"[0-9a-z]{10}")
_HASH = re.compile(r"[0-9a-f]{64}")
_SENT = re.compile(r"bk_([0-9a-z]{10})_([A-Za-z0-9_-]{43})")
_ID_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
SECRET_BYTES = 32


class KeyProblem(Exception):
    """A key can not be made or read; the message says why."""


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A key as it is kept. Times are UTC, as RFC 3339; `tenant` is who its callers are, where that is fixed."""

    id: str
    name: str
    roles: tuple[RoleName, ...]
    created: str
    sha256: str
    tenant: str | None = None
    revoked: str | None = None

    def __repr__(self) -> str:
        return f"Key({self.id}, {self.name!r}, roles={list(self.roles)}, revoked={self.revoked is not None})"

    @property
    def may_administer(self) -> bool:
        """Whether it has the role `admin`, which includes `call`."""
        return "admin" in self.roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A key as a caller has sent it."""

    id: str
    sha256: str


def make(name: str, roles: tuple[RoleName, ...], tenant: str | None = None) -> tuple[Key, str]:
    """Return a new key, and the text that its callers send, which is kept nowhere. Raises KeyProblem."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    key = Key(
        id="".join(secrets.choice(_ID_LETTERS) for _ in range(10)),
        name=name,
        roles=tuple(role for role in ROLE_NAMES if role in roles),
        created=now(),
        sha256=_hash(secret),
        tenant=tenant,
    )
    check(key)
    return key, f"bk_{key.id}_{secret}"


def revoked(key: Key, at: str) -> Key:
    """Return a key that lets nobody in any more."""
    return msgspec.structs.replace(key, revoked=at)


def check(key: Key) -> None:
    """Look whether a key can be used. Raises KeyProblem."""
    if not _NAME.fullmatch(key.name):
        raise KeyProblem(f"a key's name is {NAME_FORM}; got {key.name[:80]!r}")
    if not key.roles:
        raise KeyProblem(f"key {key.name!r} has no role; there are {' and '.join(ROLE_NAMES)}")
    if key.tenant is not None and not _TENANT.fullmatch(key.tenant):
        raise KeyProblem(f"the tenant of key {key.name!r} must be 1 to 256 printable ASCII characters")
    if not _ID.fullmatch(key.id) or not _HASH.fullmatch(key.sha256):
        raise KeyProblem(f"the id or the hash of key {key.name!r} is not as `bridge keys create` writes it")


def read_sent(header: str) -> Sent | None:
    """Return the key of an `authorization` header; None where it has none that this server could have made."""
    scheme, _, text = header.partition(" ")
    found = _SENT.fullmatch(text.strip()) if scheme.lower() == "bearer" else None
    return None if found is None else Sent(id=found[1], sha256=_hash(found[2]))


def matches(key: Key | None, sent: Sent) -> bool:
    """Whether what was sent is this key. It takes as long where there is no such key, or another secret."""
    same = hmac.compare_digest(_NOBODYS if key is None else key.sha256, sent.sha256)
    return same and key is not None


def now() -> str:
    """Return the time as it is kept."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_NOBODYS = _hash(secrets.token_urlsafe(SECRET_BYTES))
"""What is compared where there is no key with the id that was sent."""
