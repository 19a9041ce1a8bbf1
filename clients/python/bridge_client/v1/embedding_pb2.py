"""Messages of bridge/v1/embedding.proto in the client's own descriptor pool. Written by generate.py; do not edit."""

from bridge_client.descriptors import enum, file, message

DESCRIPTOR = file("bridge/v1/embedding.proto")
SimilarityFunction = enum("bridge.v1.SimilarityFunction")
SIMILARITY_FUNCTION_UNSPECIFIED = SimilarityFunction.Value("SIMILARITY_FUNCTION_UNSPECIFIED")
SIMILARITY_FUNCTION_COSINE = SimilarityFunction.Value("SIMILARITY_FUNCTION_COSINE")
SIMILARITY_FUNCTION_DOT = SimilarityFunction.Value("SIMILARITY_FUNCTION_DOT")
SIMILARITY_FUNCTION_EUCLIDEAN = SimilarityFunction.Value("SIMILARITY_FUNCTION_EUCLIDEAN")
SIMILARITY_FUNCTION_MANHATTAN = SimilarityFunction.Value("SIMILARITY_FUNCTION_MANHATTAN")
EmbedRequest = message("bridge.v1.EmbedRequest")
EmbedResponse = message("bridge.v1.EmbedResponse")
Embedding = message("bridge.v1.Embedding")
SimilarityRequest = message("bridge.v1.SimilarityRequest")
SimilarityResponse = message("bridge.v1.SimilarityResponse")
SimilarityRow = message("bridge.v1.SimilarityRow")
