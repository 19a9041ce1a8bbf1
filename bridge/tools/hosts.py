"""The registrations of hosted tools: which there are, who may see which, and for how long one is kept without a host.

Owns the table. Tokens are kept as hashes. Knows nothing of streams but their `Link`.
"""

from __future__ import annotations

import asyncio
import difflib
import hashlib
import secrets
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code, bad_field
from bridge.tools.records import read_tools
from bridge.tools.registration import Registration
from bridge.v1.tool_pb2 import (
    HostDraining,
    HostResponse,
    ListToolsRequest,
    ListToolsResponse,
    RegisterTools,
    ToolInfo,
    ToolVisibility,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bridge.call import Identity
    from bridge.settings.tool_tables import ToolHostsConfig
    from bridge.tools.records import Tool
    from bridge.tools.registration import Link

_TO_SESSION = ToolVisibility.TOOL_VISIBILITY_SESSION
_TO_TENANT = ToolVisibility.TOOL_VISIBILITY_TENANT


class ToolHosts:
    """All that is hosted on one server."""

    def __init__(self, limits: ToolHostsConfig) -> None:
        self.limits = limits
        self.draining = False
        self._by_id: dict[str, Registration] = {}
        self._tokens: dict[str, str] = {}
        """The registration's id by the hash of its token."""

    def __len__(self) -> int:
        return len(self._by_id)

    def renew(self, limits: ToolHostsConfig) -> None:
        """Take over limits, for registrations that are made from now on."""
        self.limits = limits

    def register(self, request: RegisterTools, identity: Identity, link: Link) -> tuple[Registration, str, bool]:
        """Make a registration, or go on with one; return it with its token, and whether it goes on.

        Raises SCHEMA_MISMATCH, TOOL_HOST_LIMIT, UNKNOWN_TOOL_REGISTRATION or SHUTTING_DOWN.
        """
        tools = read_tools(request.tools, self.limits)
        if request.token:
            registration = self._resume(request, identity)
            if tools:
                registration.replace_tools(tools)
            registration.attach(link, request.working_on)
            return registration, request.token, True
        if not tools:
            raise bad_field("register.tools", "expected at least one tool, got none")
        self._check_room(identity)
        if request.visibility == _TO_SESSION and not identity.session_id:
            raise bad_field(
                "register.visibility", "expected a stream opened with x-session-id, to be seen by a session"
            )
        registration = Registration(f"th-{secrets.token_hex(8)}", identity, request.visibility, self.limits)
        registration.tools = tools
        registration.link = link
        token = secrets.token_urlsafe(32)
        self._by_id[registration.id] = registration
        self._tokens[_hash(token)] = registration.id
        return registration, token, False

    def _resume(self, request: RegisterTools, identity: Identity) -> Registration:
        registration = self._by_id.get(self._tokens.get(_hash(request.token), ""))
        if registration is None or registration.tenant != identity.tenant:
            message = "there is no registration of this token: it was given up, or its time without a host is over"
            raise BridgeError(Code.NOT_FOUND, "UNKNOWN_TOOL_REGISTRATION", message)
        if registration.expiry is not None:
            registration.expiry.cancel()
            registration.expiry = None
        if (old := registration.link) is not None:
            registration.detach(old)
            old.end(BridgeError(Code.ABORTED, "TOOL_HOST_REPLACED", "another stream has taken over the registration"))
        return registration

    def _check_room(self, identity: Identity) -> None:
        if self.draining:
            message = "the server takes no new tools: it is shutting down"
            raise BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0)
        limits, of_tenant = self.limits, sum(one.tenant == identity.tenant for one in self._by_id.values())
        for setting, count, most in (
            ("max_registrations", len(self._by_id), limits.max_registrations),
            ("max_per_tenant", of_tenant, limits.max_per_tenant),
        ):
            if count >= most:
                message = f"there are {count} registrations of tools, as many as tool_hosts.{setting} ({most}) allows"
                metadata = {"setting": f"tool_hosts.{setting}"}
                raise BridgeError(Code.RESOURCE_EXHAUSTED, "TOOL_HOST_LIMIT", message, metadata=metadata)

    def lost(self, registration: Registration, link: Link) -> None:
        """Take note that a stream has broken: its registration is kept for a while."""
        if not registration.detach(link):
            return
        ttl_s = self.limits.resume_ttl_s
        loop = asyncio.get_running_loop()
        registration.expiry = loop.call_later(
            ttl_s, self.remove, registration, f"its stream broke, and it has not come back within {ttl_s:g} s"
        )

    def goodbye(self, registration: Registration, link: Link) -> None:
        """Take note that a host has said goodbye."""
        if registration.detach(link):
            self.remove(registration, "it has ended its stream")

    def remove(self, registration: Registration, why: str) -> None:
        """End a registration."""
        if self._by_id.pop(registration.id, None) is None:
            return
        self._tokens = {token: key for token, key in self._tokens.items() if key != registration.id}
        registration.close(why)

    def get(self, key: str, tenant: str) -> Registration:
        """Return a registration by its id. Raises UNKNOWN_TOOL_REGISTRATION where the tenant has none of it."""
        registration = self._by_id.get(key)
        if registration is None or registration.tenant != tenant:
            message = f"there is no registration '{key[:80]}' of tools: it was given up, or belongs to another tenant"
            raise BridgeError(Code.NOT_FOUND, "UNKNOWN_TOOL_REGISTRATION", message)
        return registration

    def find(self, name: str, identity: Identity, named: Iterable[Registration]) -> Registration | None:
        """Return who hosts a tool for a run: the first that it names, else of its session, else of its tenant.

        Of several alike, one with a host, and of these the one with the fewest open calls.
        """
        for one in named:
            if name in one.tools:
                return one
        for visible in (self._of_session, self._of_tenant):
            found = [one for one in visible(identity) if name in one.tools]
            if found:
                return min(found, key=lambda one: (one.link is None, len(one)))
        return None

    def _of_session(self, identity: Identity) -> Iterator[Registration]:
        for one in self._by_id.values():
            shared = one.visibility == _TO_SESSION and one.session_id and one.session_id == identity.session_id
            if shared and one.tenant == identity.tenant:
                yield one

    def _of_tenant(self, identity: Identity) -> Iterator[Registration]:
        for one in self._by_id.values():
            if one.visibility == _TO_TENANT and one.tenant == identity.tenant:
                yield one

    def similar(self, name: str, identity: Identity, named: Iterable[Registration]) -> str:
        """Return the most similar name of a tool that a run can see; empty for none."""
        seen = [*named, *self._of_session(identity), *self._of_tenant(identity)]
        known = list(dict.fromkeys(tool for one in seen for tool in one.tools))
        return next(iter(difflib.get_close_matches(name, known[:500], n=1)), "")

    def list_tools(self, request: ListToolsRequest, identity: Identity) -> ListToolsResponse:
        """Answer ListTools."""
        if request.registration:
            seen = [self.get(request.registration, identity.tenant)]
        else:
            seen = [*self._of_session(identity), *self._of_tenant(identity)]
        found = sorted((tool.name, one.id, one, tool) for one in seen for tool in one.tools.values())
        return ListToolsResponse(tools=[_info(one, tool) for _, _, one, tool in found])

    def drain(self) -> None:
        """Take no new registrations, and tell the hosts; calls that run may still call tools."""
        self.draining = True
        for one in self._by_id.values():
            if one.link is not None:
                one.link.send(HostResponse(draining=HostDraining()))

    def close(self) -> None:
        """End every registration and its stream."""
        for one in list(self._by_id.values()):
            link = one.link
            self.remove(one, "the server is shutting down")
            if link is not None:
                message = "the server is shutting down"
                link.end(BridgeError(Code.UNAVAILABLE, "SHUTTING_DOWN", message, retry_after_s=1.0))


def _info(one: Registration, tool: Tool) -> ToolInfo:
    return ToolInfo(
        tool=tool.message(),
        registration=one.id,
        connected=one.link is not None,
        open_calls=one.count_of(tool.name),
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
