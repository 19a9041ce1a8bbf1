"""Messages of google/rpc/status.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("google/rpc/status.proto")
Status = message("google.rpc.Status")
