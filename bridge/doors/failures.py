"""Why a server can not be reached where it was to listen: exceptions whose text is for people."""

from __future__ import annotations


class ListenFailed(Exception):
    """The server can not be reached; the message says why."""


class AddressInUse(ListenFailed):
    """The address can not be bound."""
