"""Messages of bridge/v1/session.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/session.proto")
SessionMode = enum("bridge.v1.SessionMode")
SESSION_MODE_UNSPECIFIED = SessionMode.Value("SESSION_MODE_UNSPECIFIED")
SESSION_MODE_HINT = SessionMode.Value("SESSION_MODE_HINT")
Session = message("bridge.v1.Session")
OpenRequest = message("bridge.v1.OpenRequest")
OpenResponse = message("bridge.v1.OpenResponse")
SessionServiceGetRequest = message("bridge.v1.SessionServiceGetRequest")
SessionServiceGetResponse = message("bridge.v1.SessionServiceGetResponse")
CloseRequest = message("bridge.v1.CloseRequest")
CloseResponse = message("bridge.v1.CloseResponse")
