"""Messages of google/protobuf/any.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("google/protobuf/any.proto")
Any = message("google.protobuf.Any")
