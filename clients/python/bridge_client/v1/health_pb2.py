"""Messages of grpc_health/v1/health.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("grpc_health/v1/health.proto")
HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")
HealthListRequest = message("grpc.health.v1.HealthListRequest")
HealthListResponse = message("grpc.health.v1.HealthListResponse")
