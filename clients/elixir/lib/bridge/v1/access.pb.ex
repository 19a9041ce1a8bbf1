defmodule Bridge.V1.KeyRole do
  @moduledoc """
  KeyRole is what an API key allows.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.KeyRole",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :KEY_ROLE_UNSPECIFIED, 0
  field :KEY_ROLE_CALL, 1
  field :KEY_ROLE_ADMIN, 2
end
