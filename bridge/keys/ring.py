"""The keys of one server in memory: who a header says that its caller is, and what has changed in the file.

Owns the keys as last read and what was verified with them. A file that can not be used while the server runs changes
nothing: the keys stay what they were, and whoever looks is told why.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code
from bridge.keys import key_file
from bridge.keys.key import matches, read_sent
from bridge.keys.roles import Need

if TYPE_CHECKING:
    from bridge.keys.key import Key

REMEMBERED = 1024
"""Headers that are known to be good; the oldest is forgotten for the next."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Caller:
    """Whoever has sent a good key."""

    id: str
    name: str
    tenant: str | None
    may: Need


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a look at the file has brought. `ids` are keys that are no more what they were, `ended` their names."""

    ids: frozenset[str]
    ended: tuple[str, ...]
    valid: int


class KeyRing:
    """The keys of one file. `read` before anything else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: dict[str, Key] = {}
        self._stamp: key_file.Stamp = ()
        self._seed = os.urandom(32)
        self._known: dict[bytes, Caller] = {}
        """Callers by a keyed hash of their header, so that no header stays in memory."""

    @property
    def valid(self) -> int:
        """How many keys are not revoked."""
        return sum(key.revoked is None for key in self._keys.values())

    @property
    def revoked(self) -> int:
        """How many are."""
        return len(self._keys) - self.valid

    def read(self) -> Changed | None:
        """Take over what the file says, where it has changed; None where it has not. Raises KeyFileProblem."""
        stamp = key_file.stamp(self.path)
        if stamp == self._stamp:
            return None
        before = self._keys
        found = {key.id: key for key in key_file.read(self.path)}
        self._keys, self._stamp = found, stamp
        self._known.clear()
        ids = frozenset(one for one, key in before.items() if found.get(one) != key)
        ended = tuple(
            before[one].name for one in sorted(ids) if before[one].revoked is None and not _is_valid(found.get(one))
        )
        return Changed(ids=ids, ended=ended, valid=self.valid)

    def caller(self, header: str) -> Caller:
        """Return who has sent this `authorization` header. Raises CREDENTIALS_INVALID, CREDENTIALS_REVOKED."""
        digest = hashlib.blake2b(header.encode(), key=self._seed, digest_size=16).digest()
        known = self._known.get(digest)
        return self._verified(header, digest) if known is None else known

    def _verified(self, header: str, digest: bytes) -> Caller:
        sent = read_sent(header)
        if sent is None:
            raise invalid("expected 'Bearer bk_ID_SECRET', as `bridge keys create` has printed it")
        key = self._keys.get(sent.id)
        if not matches(key, sent) or key is None:
            raise invalid("this server has no such key")
        if key.revoked is not None:
            message = f"the API key '{key.name}' was revoked"
            raise BridgeError(Code.UNAUTHENTICATED, "CREDENTIALS_REVOKED", message, metadata={"key": key.name})
        may = Need.ADMIN if key.may_administer else Need.CALL
        caller = Caller(id=key.id, name=key.name, tenant=key.tenant, may=may)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = caller
        return caller


def _is_valid(key: Key | None) -> bool:
    return key is not None and key.revoked is None


def missing() -> BridgeError:
    """Return the error of a request without a key."""
    message = "this server wants an API key: send it as metadata 'authorization: Bearer bk_...'"
    return BridgeError(Code.UNAUTHENTICATED, "CREDENTIALS_MISSING", message)


def invalid(why: str) -> BridgeError:
    """Return the error of a key that is none of this server's."""
    return BridgeError(Code.UNAUTHENTICATED, "CREDENTIALS_INVALID", f"the API key is not valid: {why}")


def ended(name: str) -> BridgeError:
    """Return the error of a stream whose key was revoked, or changed, while it was open."""
    message = f"the API key '{name}' was revoked or changed while the stream was open"
    return BridgeError(Code.UNAUTHENTICATED, "CREDENTIALS_REVOKED", message, metadata={"key": name})


def role_missing(caller: Caller, need: Need, method: str) -> BridgeError:
    """Return the error of a key that may not call a method."""
    role = need.name.lower()
    message = f"{method} needs the role '{role}', which the API key '{caller.name}' does not have"
    metadata = {"role": role, "method": method, "key": caller.name}
    return BridgeError(Code.PERMISSION_DENIED, "ROLE_MISSING", message, metadata=metadata)
