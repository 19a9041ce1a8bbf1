"""Messages of google/protobuf/timestamp.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("google/protobuf/timestamp.proto")
Timestamp = message("google.protobuf.Timestamp")
