"""Registrations of hosted tools without a server: how long one is kept, who gets a call, what ends it."""

import asyncio
import math

import pytest

from bridge.call import Identity, new_call
from bridge.errors import BridgeError
from bridge.settings.tool_tables import ToolHostsConfig
from bridge.tools.hosts import ToolHosts
from bridge.v1 import tool_pb2

TENANT = tool_pb2.TOOL_VISIBILITY_TENANT


class Link:
    def __init__(self):
        self.sent = []
        self.why = None

    def send(self, message):
        self.sent.append(message)

    def end(self, why):
        self.why = why

    @property
    def calls(self):
        return [one.call for one in self.sent if one.HasField("call")]

    @property
    def cancels(self):
        return [one.cancel.id for one in self.sent if one.HasField("cancel")]


def register(hosts, link, *names, tenant="", token="", working_on=(), visibility=TENANT, **settings):
    tools = [tool_pb2.HostedTool(name=name, **settings) for name in names]
    request = tool_pb2.RegisterTools(tools=tools, token=token, working_on=working_on, visibility=visibility)
    found, token, _ = hosts.register(request, Identity("r", tenant=tenant), link)
    found.serve()
    return found, token


def a_call():
    return new_call("ProgramService/Run", Identity("run-1"), b"", math.inf)


async def begun(registration, name="t", arguments="{}"):
    task = asyncio.ensure_future(registration.call(name, arguments, a_call()))
    await asyncio.sleep(0)
    return task


async def test_a_registration_without_its_host_ends_after_a_while_with_its_calls():
    hosts, link = ToolHosts(ToolHostsConfig(resume_ttl_s=0.02)), Link()
    registration, _ = register(hosts, link, "t", idempotent=True)
    task = await begun(registration)
    hosts.lost(registration, link)
    with pytest.raises(BridgeError) as gone:
        await asyncio.wait_for(task, 10)
    assert gone.value.reason == "TOOL_HOST_GONE"
    assert len(hosts) == 0


async def test_an_old_streams_end_does_not_touch_the_one_that_took_over():
    hosts, first, second = ToolHosts(ToolHostsConfig()), Link(), Link()
    registration, token = register(hosts, first, "t")
    register(hosts, second, token=token)
    assert first.why.reason == "TOOL_HOST_REPLACED"
    hosts.lost(registration, first)
    hosts.goodbye(registration, first)
    assert registration.link is second
    assert len(hosts) == 1


async def test_calls_are_sent_again_in_their_order():
    hosts, first, second = ToolHosts(ToolHostsConfig()), Link(), Link()
    registration, token = register(hosts, first, "t", idempotent=True, max_concurrent=2)
    tasks = [await begun(registration, arguments=f'{{"n": {number}}}') for number in range(3)]
    assert [call.id for call in first.calls] == [1, 2]
    hosts.lost(registration, first)
    register(hosts, second, token=token)
    assert [(call.id, call.resent) for call in second.calls] == [(1, True), (2, True)]
    registration.result(tool_pb2.HostedResult(id=1, json="1"))
    assert [(call.id, call.resent) for call in second.calls][2:] == [(3, False)]
    registration.result(tool_pb2.HostedResult(id=3, json="3"))
    registration.result(tool_pb2.HostedResult(id=2, json="2"))
    assert [(await task).value for task in tasks] == ["1", "2", "3"]
    assert len(registration) == 0


async def test_a_call_that_waits_and_is_given_up_leaves_no_trace():
    hosts, link = ToolHosts(ToolHostsConfig()), Link()
    registration, _ = register(hosts, link, "t", max_concurrent=1)
    running, waiting = await begun(registration), await begun(registration)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert link.cancels == [1], "the second was never sent"
    tool = registration.tools["t"]
    assert (len(registration), tool.running, len(tool.waiting)) == (0, 0, 0)


async def test_of_several_hosts_the_one_with_the_fewest_calls_is_chosen_and_one_that_has_gone_last():
    hosts, links = ToolHosts(ToolHostsConfig()), [Link(), Link()]
    (busy, _), (idle, _) = register(hosts, links[0], "t"), register(hosts, links[1], "t")
    task = await begun(busy)
    assert hosts.find("t", Identity("r"), ()) is idle
    hosts.lost(idle, links[1])
    assert hosts.find("t", Identity("r"), ()) is busy
    assert hosts.find("t", Identity("r", tenant="other"), ()) is None
    hosts.close()
    with pytest.raises(BridgeError):
        await task
    assert links[0].why.reason == "SHUTTING_DOWN"
    assert idle.expiry.cancelled()


async def test_a_thousand_calls_leave_nothing_behind():
    hosts, link = ToolHosts(ToolHostsConfig(max_calls=2000)), Link()
    registration, _ = register(hosts, link, "t", max_concurrent=3)
    tasks = [await begun(registration) for _ in range(1000)]
    answered = 0
    while answered < 1000:
        for call in link.calls[answered:]:
            answered += 1
            if call.id % 7 == 0:
                registration.error(tool_pb2.HostedError(id=call.id, message="no"))
            else:
                registration.result(tool_pb2.HostedResult(id=call.id, text=str(call.id)))
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, BridgeError) for one in found) == 142
    tool = registration.tools["t"]
    assert (len(registration), tool.running, len(tool.waiting)) == (0, 0, 0)
