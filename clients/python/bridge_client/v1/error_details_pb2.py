"""Messages of google/rpc/error_details.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("google/rpc/error_details.proto")
ErrorInfo = message("google.rpc.ErrorInfo")
RetryInfo = message("google.rpc.RetryInfo")
DebugInfo = message("google.rpc.DebugInfo")
QuotaFailure = message("google.rpc.QuotaFailure")
PreconditionFailure = message("google.rpc.PreconditionFailure")
BadRequest = message("google.rpc.BadRequest")
RequestInfo = message("google.rpc.RequestInfo")
ResourceInfo = message("google.rpc.ResourceInfo")
Help = message("google.rpc.Help")
LocalizedMessage = message("google.rpc.LocalizedMessage")
