"""ListModels and ListCosts of ModelService as operations, and what comes back as records. Pure."""

from __future__ import annotations

from bridge_client.reading import read
from bridge_client.spending_records import ModelInfo, Spent
from bridge_client.v1 import model_pb2
from bridge_client.wire import Operation, operation


def list_models() -> Operation[tuple[ModelInfo, ...]]:
    """The configured models."""
    return operation("ModelService/ListModels", model_pb2.ListModelsRequest(), model_pb2.ListModelsResponse, _models)


def list_costs(function: str) -> Operation[Spent]:
    """What was spent on them."""
    request = model_pb2.ListCostsRequest(function=function)
    return operation("ModelService/ListCosts", request, model_pb2.ListCostsResponse, _spent)


def _models(reply: model_pb2.ListModelsResponse) -> tuple[ModelInfo, ...]:
    return tuple(read(ModelInfo, one) for one in reply.models)


def _spent(reply: model_pb2.ListCostsResponse) -> Spent:
    return read(Spent, reply)
