"""What is served beside calls: reflection, the catalogue, the pools, and what is not there at all."""

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from bridge.v1 import common_pb2, invoke_pb2, metric_pb2, pool_pb2, program_pb2

Code = grpc.StatusCode
SERVICES = {
    "bridge.v1.EmbeddingService",
    "bridge.v1.InvokeService",
    "bridge.v1.MetricService",
    "bridge.v1.ModelService",
    "bridge.v1.PoolService",
    "bridge.v1.ProgramService",
    "bridge.v1.SessionService",
    "bridge.v1.ToolService",
}
INFRASTRUCTURE = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}


@pytest.fixture(params=["v1", "v1alpha"])
def reflect(request, rpc):
    """Asks one question of reflection; the two versions differ in name only."""
    ask = rpc.channel.stream_stream(
        f"/grpc.reflection.{request.param}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    def one(**question):
        return next(ask(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=10))

    return one


class TestReflection:
    def test_all_services_are_listed(self, reflect):
        listed = [service.name for service in reflect(list_services="").list_services_response.service]
        assert set(listed) == SERVICES | INFRASTRUCTURE
        assert len(listed) == len(set(listed))

    def files(self, answer):
        return [FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto]

    def test_every_listed_service_can_be_described(self, reflect):
        for name in SERVICES | INFRASTRUCTURE:
            answer = reflect(file_containing_symbol=name)
            found = {f"{file.package}.{service.name}" for file in self.files(answer) for service in file.service}
            assert name in found, answer

    def test_files_come_with_what_they_need(self, reflect):
        answer = reflect(file_by_filename="bridge/v1/invoke.proto")
        names = {file.name for file in self.files(answer)}
        assert {"bridge/v1/invoke.proto", "bridge/v1/common.proto"} <= names

    def test_what_is_not_there(self, reflect):
        assert reflect(file_containing_symbol="no.Such").error_response.error_code == Code.NOT_FOUND.value[0]
        assert reflect(file_by_filename="no.proto").error_response.error_code == Code.NOT_FOUND.value[0]

    def test_it_can_be_switched_off(self, start_server, connect, served_app):
        text = "[server]\nreflection = false\n[pools.general]\nsize = 1\n"
        text += "[pools.llm]\nsize = 0\n[pools.embeddings]\nsize = 0\n"
        client = connect(start_server(served_app, text).address)
        assert client.call("add", a=1, b=2).value == 3
        ask = client.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        with pytest.raises(grpc.RpcError) as caught:
            next(ask(iter([b""]), timeout=5))
        assert caught.value.code() is Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    "path",
    ["/bridge.v1.InvokeService/NoSuch", "/bridge.v2.InvokeService/Call", "/no.Such/Thing", "/bridge.v1"],
)
def test_unknown_methods(rpc, path):
    with pytest.raises(grpc.RpcError) as caught:
        rpc.channel.unary_unary(path)(b"", timeout=5)
    assert caught.value.code() is Code.UNIMPLEMENTED


class TestCatalogue:
    def listed(self, rpc, **request):
        request = invoke_pb2.ListFunctionsRequest(**request)
        return rpc.unary("InvokeService/ListFunctions", request, invoke_pb2.ListFunctionsResponse).value

    def test_pages_make_the_whole(self, rpc):
        whole = [one.name for one in self.listed(rpc, page_size=1000).functions]
        assert whole == sorted(whole)
        assert {"add", "bridge.echo", "bridge.metrics.bleu", "hold_narrow"} <= set(whole)
        paged, token = [], ""
        while True:
            page = self.listed(rpc, page_size=7, page_token=token)
            assert len(page.functions) <= 7
            paged += [one.name for one in page.functions]
            token = page.next_page_token
            if not token:
                break
        assert paged == whole

    def test_prefixes(self, rpc):
        names = [one.name for one in self.listed(rpc, prefix="bridge.metrics.").functions]
        assert names
        assert all(name.startswith("bridge.metrics.") for name in names)
        assert not self.listed(rpc, prefix="zzz").functions

    @pytest.mark.parametrize(
        ("request_", "path"),
        [({"page_size": -1}, "page_size"), ({"page_size": 1001}, "page_size"), ({"page_token": "%%%"}, "page_token")],
    )
    def test_pages_that_can_not_be(self, rpc, request_, path):
        message = invoke_pb2.ListFunctionsRequest(**request_)
        outcome = rpc.unary("InvokeService/ListFunctions", message, invoke_pb2.ListFunctionsResponse)
        assert (outcome.code, outcome.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
        assert list(outcome.violations) == [path]

    def test_a_function_is_described(self, rpc):
        request = invoke_pb2.DescribeFunctionRequest(function="add")
        info = rpc.unary("InvokeService/DescribeFunction", request, invoke_pb2.DescribeFunctionResponse).value.function
        assert (info.name, info.doc, info.pool) == ("add", "Add two numbers.", "general")
        assert (info.kind, info.placement) == (common_pb2.FUNCTION_KIND_FUNCTION, common_pb2.PLACEMENT_POOLED)
        assert '"a"' in info.arguments_schema
        assert '"integer"' in info.result_schema
        assert (info.streaming, info.idempotent) == (False, False)

    def test_declarations_are_told(self, rpc):
        whole = {one.name: one for one in self.listed(rpc, page_size=1000).functions}
        assert whole["count"].streaming
        assert whole["die_idempotent"].idempotent
        assert whole["native_add"].placement == common_pb2.PLACEMENT_NATIVE
        assert whole["hold_narrow"].pool == "narrow"

    def test_there_are_no_programs(self, rpc):
        request = program_pb2.ProgramServiceListRequest()
        assert not rpc.unary("ProgramService/List", request, program_pb2.ProgramServiceListResponse).value.programs

    def test_metrics_are_listed(self, rpc):
        listed = rpc.unary("MetricService/ListMetrics", metric_pb2.ListMetricsRequest(), metric_pb2.ListMetricsResponse)
        metrics = {one.name: one for one in listed.value.metrics}
        assert {"bleu", "rouge", "exact_match", "token_f1", "semantic_similarity"} <= set(metrics)
        assert metrics["exact_match"].placement == common_pb2.PLACEMENT_NATIVE


class TestPools:
    def test_all_pools_are_listed(self, rpc):
        listed = rpc.unary("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
        pools = {pool.name: pool for pool in listed.value.pools}
        assert list(pools) == sorted(pools)
        assert {"general", "llm", "many", "narrow", "small"} <= set(pools)
        assert {pools[name].state for name in ("general", "narrow")} == {pool_pb2.POOL_STATE_READY}

    def test_a_pool_is_described(self, rpc, gate):
        call = rpc.start("hold_narrow", port=gate.port)
        held = gate.entered()
        pool = rpc.pool("narrow")
        assert (pool.size, pool.concurrency, pool.queue_limit, pool.running) == (1, 1, 1, 1)
        assert set(pool.functions) == {"hold_narrow", "big_narrow"}
        (worker,) = pool.workers
        assert (worker.pid, worker.running) == (held.pid, 1)
        assert worker.rss_bytes > 1 << 20
        assert worker.age.ToNanoseconds() > 0
        held.release()
        assert call.outcome().value == "released"
        assert rpc.pool("narrow").calls > pool.calls
        assert rpc.pool("narrow").workers[0].calls == worker.calls + 1, "canaries do not count"

    def test_a_crash_is_remembered(self, rpc):
        lost = rpc.call("end", code=9).receipt.worker
        (newest, *_) = rpc.pool("general").exits
        assert (newest.worker, newest.cause) == (lost, "exited with code 9")

    def test_a_pool_that_grew_too_large_says_so(self, rpc):
        assert rpc.pool("small").memory_limit_bytes == 220 << 20
