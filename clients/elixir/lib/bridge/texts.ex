defmodule Bridge.Texts do
  @moduledoc false
  # Embeddings and metrics. `Bridge` documents them.

  alias Bridge.{BatchScore, Caller, CallOptions, Convert, Embeddings, Score, V1}

  @functions %{
    cosine: :SIMILARITY_FUNCTION_COSINE,
    dot: :SIMILARITY_FUNCTION_DOT,
    euclidean: :SIMILARITY_FUNCTION_EUCLIDEAN,
    manhattan: :SIMILARITY_FUNCTION_MANHATTAN
  }

  def embed(connection, texts, options) do
    {own, options} = CallOptions.split(options, [:model, :normalize])

    request = %V1.EmbedRequest{
      model: own[:model] || "",
      texts: List.wrap(texts),
      normalize: Keyword.get(own, :normalize, true)
    }

    read = fn reply ->
      vectors = for vector <- reply.embeddings, do: vector.values
      %Embeddings{vectors: vectors, model: reply.model, dimensions: reply.dimensions}
    end

    Caller.unary(connection, Caller.operation("EmbeddingService/Embed", request, V1.EmbedResponse, read), options)
  end

  def similarity(connection, left, right, options) do
    {own, options} = CallOptions.split(options, [:model, :function, :pairwise])
    function = own[:function] || :cosine

    request = %V1.SimilarityRequest{
      model: own[:model] || "",
      left: List.wrap(left),
      right: List.wrap(right),
      function:
        @functions[function] ||
          raise(
            ArgumentError,
            "expected function to be one of #{inspect(Map.keys(@functions))}, got #{inspect(function)}"
          ),
      pairwise: own[:pairwise] || false
    }

    read = fn reply -> for row <- reply.rows, do: row.scores end
    operation = Caller.operation("EmbeddingService/Similarity", request, V1.SimilarityResponse, read)
    Caller.unary(connection, operation, options)
  end

  def score(connection, metric, prediction, references, options) do
    {own, options} = CallOptions.split(options, [:parameters])

    request = %V1.ScoreRequest{
      metric: metric,
      example: example(prediction, references),
      parameters: parameters(own[:parameters])
    }

    read = fn reply ->
      %Score{
        value: reply.score.value,
        details: reply.score.details,
        parameters: Convert.json(reply.parameters),
        signature: reply.signature
      }
    end

    Caller.unary(connection, Caller.operation("MetricService/Score", request, V1.ScoreResponse, read, metric), options)
  end

  def score_batch(connection, metric, predictions, references, options) do
    {own, options} = CallOptions.split(options, [:parameters])

    if length(predictions) != length(references) do
      raise ArgumentError,
            "expected one entry of references per prediction, got #{length(references)} for #{length(predictions)}"
    end

    request = %V1.ScoreBatchRequest{
      metric: metric,
      examples: Enum.zip_with(predictions, references, &example/2),
      parameters: parameters(own[:parameters])
    }

    read = fn reply ->
      %BatchScore{
        scores: Enum.map(reply.scores, &part/1),
        aggregate: part(reply.aggregate),
        parameters: Convert.json(reply.parameters),
        signature: reply.signature
      }
    end

    operation = Caller.operation("MetricService/ScoreBatch", request, V1.ScoreBatchResponse, read, metric)
    Caller.unary(connection, operation, options)
  end

  defp example(prediction, references), do: %V1.ScoredExample{prediction: prediction, references: List.wrap(references)}

  defp parameters(nil), do: ""
  defp parameters(given), do: given |> Map.new() |> Bridge.JSON.encode()

  defp part(score), do: %{value: score.value, details: score.details}
end
