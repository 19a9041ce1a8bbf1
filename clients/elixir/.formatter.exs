# Generated files are as their generator writes them.
written = fn pattern -> pattern |> Path.wildcard(match_dot: true) |> Enum.reject(&String.ends_with?(&1, ".pb.ex")) end

[
  inputs: Enum.flat_map(["{mix,.formatter}.exs", "{core,lib,test,conformance,bench,examples}/**/*.{ex,exs}"], written),
  line_length: 120
]
