"""SessionService: open, look at and close sessions; read, write and watch their variables."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from bridge.conversion import sessions as convert
from bridge.errors import bad_field
from bridge.sessions import values
from bridge.v1 import session_pb2 as pb

if TYPE_CHECKING:
    from bridge.sessions.ends import SessionEnds
    from bridge.sessions.sessions import Sessions
    from bridge.sessions.variables import VariableLimits

USUAL_PAGE, MAX_PAGE = 100, 1000


class SessionServicer:
    """Answers from the open sessions. Each method gets the caller's tenant: another one's session is not there."""

    def __init__(self, sessions: Sessions, limits: VariableLimits, ends: SessionEnds) -> None:
        self._sessions = sessions
        self._limits = limits
        self._ends = ends

    def open(self, request: pb.OpenRequest, tenant: str) -> pb.OpenResponse:
        """Answer SessionService.Open."""
        mode = convert.session_mode(request.mode)
        ttl_s = convert.ttl_s(request.ttl) if request.HasField("ttl") else None
        session = self._sessions.open(request.id, ttl_s, tenant=tenant, mode=mode, ordered=request.ordered)
        return pb.OpenResponse(session=convert.session_message(session, 0.0))

    def get(self, request: pb.SessionServiceGetRequest, tenant: str) -> pb.SessionServiceGetResponse:
        """Answer SessionService.Get."""
        session = self._sessions.get(request.id, tenant)
        message = convert.session_message(session, self._sessions.idle_s(session))
        return pb.SessionServiceGetResponse(session=message)

    def list(self, request: pb.SessionServiceListRequest, tenant: str) -> pb.SessionServiceListResponse:
        """Answer SessionService.List."""
        if request.page_size < 0 or not (request.page_token or "0").isdecimal() or len(request.page_token) > 18:
            raise bad_field("page_token", "expected a page_size of 0 or more, and the token of an earlier answer")
        size = min(request.page_size or USUAL_PAGE, MAX_PAGE)
        found, after = self._sessions.page(tenant, size, int(request.page_token or "0"))
        messages = [convert.session_message(session, self._sessions.idle_s(session)) for session in found]
        return pb.SessionServiceListResponse(sessions=messages, next_page_token=str(after) if after else "")

    async def close(self, request: pb.CloseRequest, tenant: str) -> pb.CloseResponse:
        """Answer SessionService.Close."""
        session = self._sessions.close(request.id, tenant)
        if told := self._ends.told(session):
            await asyncio.wait(told)
        return pb.CloseResponse()

    def get_variable(self, request: pb.GetVariableRequest, tenant: str) -> pb.GetVariableResponse:
        """Answer SessionService.GetVariable."""
        variable = self._sessions.variables(self._sessions.get(request.session_id, tenant)).get(request.name)
        return pb.GetVariableResponse(variable=convert.variable_message(variable, convert.form(request.form)))

    def set_variable(self, request: pb.SetVariableRequest, tenant: str) -> pb.SetVariableResponse:
        """Answer SessionService.SetVariable."""
        session = self._sessions.get(request.session_id, tenant)
        kind, packed = values.of_payload(request.value, self._limits.value_bytes)
        expected = request.expected_version if request.HasField("expected_version") else None
        variables = self._sessions.variables(session)
        variable = variables.set(request.name, kind, packed, expected, replace_type=request.replace_type)
        self._sessions.touch(session)
        return pb.SetVariableResponse(version=variable.version)

    def list_variables(self, request: pb.ListVariablesRequest, tenant: str) -> pb.ListVariablesResponse:
        """Answer SessionService.ListVariables."""
        variables = self._sessions.variables(self._sessions.get(request.session_id, tenant))
        form = convert.form(request.form)
        return pb.ListVariablesResponse(variables=[convert.variable_message(each, form) for each in variables.all()])

    def delete_variable(self, request: pb.DeleteVariableRequest, tenant: str) -> pb.DeleteVariableResponse:
        """Answer SessionService.DeleteVariable."""
        session = self._sessions.get(request.session_id, tenant)
        expected = request.expected_version if request.HasField("expected_version") else None
        version = self._sessions.variables(session).delete(request.name, expected)
        self._sessions.touch(session)
        return pb.DeleteVariableResponse(version=version)

    async def watch(
        self, request: pb.SessionServiceWatchRequest, tenant: str
    ) -> AsyncIterator[pb.SessionServiceWatchResponse]:
        """Answer SessionService.Watch."""
        variables = self._sessions.variables(self._sessions.get(request.id, tenant))
        form, watcher = convert.form(request.form), variables.watch()
        try:
            yield convert.snapshot_message(variables.all(), variables.version, form)
            while changes := await watcher.take():
                for change in changes:
                    yield convert.change_message(change, form)
            yield pb.SessionServiceWatchResponse(end=pb.WatchEnd(reason=watcher.reason))
        finally:
            variables.unwatch(watcher)


Rows = list[tuple[str, type, Callable[..., object]]]


def rows(servicer: SessionServicer) -> Rows:
    """Return the unary RPCs: name, request type, method."""
    return [
        ("SessionService/Open", pb.OpenRequest, servicer.open),
        ("SessionService/Get", pb.SessionServiceGetRequest, servicer.get),
        ("SessionService/List", pb.SessionServiceListRequest, servicer.list),
        ("SessionService/Close", pb.CloseRequest, servicer.close),
        ("SessionService/GetVariable", pb.GetVariableRequest, servicer.get_variable),
        ("SessionService/SetVariable", pb.SetVariableRequest, servicer.set_variable),
        ("SessionService/ListVariables", pb.ListVariablesRequest, servicer.list_variables),
        ("SessionService/DeleteVariable", pb.DeleteVariableRequest, servicer.delete_variable),
    ]
