"""Messages of bridge/v1/program.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/program.proto")
RunRequest = message("bridge.v1.RunRequest")
RunResponse = message("bridge.v1.RunResponse")
StreamRunRequest = message("bridge.v1.StreamRunRequest")
StreamRunResponse = message("bridge.v1.StreamRunResponse")
FieldDelta = message("bridge.v1.FieldDelta")
FinalOutputs = message("bridge.v1.FinalOutputs")
ProgramServiceListRequest = message("bridge.v1.ProgramServiceListRequest")
ProgramServiceListResponse = message("bridge.v1.ProgramServiceListResponse")
ProgramServiceDescribeRequest = message("bridge.v1.ProgramServiceDescribeRequest")
ProgramServiceDescribeResponse = message("bridge.v1.ProgramServiceDescribeResponse")
ProgramInfo = message("bridge.v1.ProgramInfo")
