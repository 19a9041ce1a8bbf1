"""Messages of bridge/v1/metric.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/metric.proto")
ListMetricsRequest = message("bridge.v1.ListMetricsRequest")
ListMetricsResponse = message("bridge.v1.ListMetricsResponse")
MetricInfo = message("bridge.v1.MetricInfo")
ScoredExample = message("bridge.v1.ScoredExample")
ScoreRequest = message("bridge.v1.ScoreRequest")
MetricScore = message("bridge.v1.MetricScore")
ScoreResponse = message("bridge.v1.ScoreResponse")
ScoreBatchRequest = message("bridge.v1.ScoreBatchRequest")
ScoreBatchResponse = message("bridge.v1.ScoreBatchResponse")
