"""ProgramService as a client sees it, and a provider whose replies tests script."""

import json
from pathlib import Path

import pytest

from bridge.v1 import program_pb2 as pb
from bridge.v1.common_pb2 import Payload
from handlers.models.openai_test_server.server import serve

APP = Path(__file__).with_name("programs_app.py")
MODEL = """
[models.{name}]
model = "openai/{model}"
api_base = "{base}"
api_key = "literal:no-key"
max_retries = 0
"""


class Programs:
    """ProgramService as a client sees it."""

    def __init__(self, rpc):
        self.rpc = rpc
        self.made = []

    def create(self, name, signature="question -> answer", **source):
        self.made.append(name)
        request = pb.CreateProgramRequest(program=name, source=pb.ProgramSource(signature=signature, **source))
        return self.rpc.unary("ProgramService/CreateProgram", request, pb.CreateProgramResponse)

    def update(self, name, signature="question -> answer", expected=0, **source):
        source = pb.ProgramSource(signature=signature, **source)
        request = pb.UpdateProgramRequest(program=name, source=source, expected_version=expected)
        return self.rpc.unary("ProgramService/UpdateProgram", request, pb.UpdateProgramResponse)

    def serve(self, name, version):
        request = pb.ServeProgramVersionRequest(program=name, version=version)
        return self.rpc.unary("ProgramService/ServeProgramVersion", request, pb.ServeProgramVersionResponse)

    def delete(self, name):
        request = pb.DeleteProgramRequest(program=name)
        return self.rpc.unary("ProgramService/DeleteProgram", request, pb.DeleteProgramResponse)

    def versions(self, name):
        request = pb.ListProgramVersionsRequest(program=name)
        return self.rpc.unary("ProgramService/ListProgramVersions", request, pb.ListProgramVersionsResponse)

    def describe(self, name):
        request = pb.ProgramServiceDescribeRequest(program=name)
        return self.rpc.unary("ProgramService/Describe", request, pb.ProgramServiceDescribeResponse)

    def names(self):
        reply = self.rpc.unary("ProgramService/List", pb.ProgramServiceListRequest(), pb.ProgramServiceListResponse)
        return [one.name for one in reply.value.programs]

    def run(self, name, metadata=(), version=0, model="", **inputs):
        inputs = Payload(json=json.dumps(inputs))
        request = pb.RunRequest(program=name, inputs=inputs, model=model, version=version)
        outcome = self.rpc.unary("ProgramService/Run", request, pb.RunResponse, metadata)
        outcome.values = [json.loads(reply.outputs.json) for reply in outcome.values]
        return outcome

    def stream(self, name, version=0, **inputs):
        request = pb.StreamRunRequest(program=name, inputs=Payload(json=json.dumps(inputs)), version=version)
        multicallable = self.rpc.channel.unary_stream(
            "/bridge.v1.ProgramService/StreamRun",
            request_serializer=pb.StreamRunRequest.SerializeToString,
            response_deserializer=pb.StreamRunResponse.FromString,
        )
        return list(multicallable(request, timeout=20))


@pytest.fixture(scope="module")
def provider():
    """An OpenAI-compatible server on loopback."""
    with serve() as server:
        yield server


@pytest.fixture(scope="session")
def programs_app():
    return APP


@pytest.fixture(scope="module")
def models(provider):
    """`models(default="test", ...)`: the tables of these models of the provider."""

    def tables(**models):
        given = models.items()
        return "".join(MODEL.format(name=name, model=model, base=provider.base_url) for name, model in given)

    return tables


@pytest.fixture
def client_of(connect):
    """`client_of(address)`: a client of a server, which leaves it as it was."""
    made = []

    def one(address):
        made.append(Programs(connect(address)))
        return made[-1]

    yield one
    for client in made:
        for name in client.made:
            request = pb.DeleteProgramRequest(program=name)
            client.rpc.unary("ProgramService/DeleteProgram", request, pb.DeleteProgramResponse)
