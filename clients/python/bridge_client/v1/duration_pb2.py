"""Messages of google/protobuf/duration.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("google/protobuf/duration.proto")
Duration = message("google.protobuf.Duration")
