defmodule OddNames.V2.State do
  @moduledoc """
  State has a line of its own for
    an indented one.
  """

  use Protobuf,
    enum: true,
    full_name: "odd_names.v2.State",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :STATE_UNSPECIFIED, 0
  field :STATE_ON, 1
end

defmodule OddNames.V2.Outer.Inner.Depth do
  use Protobuf,
    enum: true,
    full_name: "odd_names.v2.Outer.Inner.Depth",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :DEPTH_UNSPECIFIED, 0
  field :DEPTH_NEGATIVE, -3
end

defmodule OddNames.V2.Outer.Inner do
  @moduledoc """
  Inner stands within.
  """

  use Protobuf,
    full_name: "odd_names.v2.Outer.Inner",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :depth, 1, type: OddNames.V2.Outer.Inner.Depth, enum: true

  field :depths, 2,
    repeated: true,
    type: OddNames.V2.Outer.Inner.Depth,
    enum: true,
    packed: false,
    deprecated: false
end

defmodule OddNames.V2.Outer.UncommentedName do
  @moduledoc """
  A detached comment is the next one's.
  """

  use Protobuf,
    full_name: "odd_names.v2.Outer.Uncommented_name",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule OddNames.V2.Outer.InnersEntry do
  use Protobuf,
    full_name: "odd_names.v2.Outer.InnersEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: OddNames.V2.Outer.Inner
end

defmodule OddNames.V2.Outer.FlagsEntry do
  use Protobuf,
    full_name: "odd_names.v2.Outer.FlagsEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :int32
  field :value, 2, type: :bool
end

defmodule OddNames.V2.Outer do
  @moduledoc """
  Outer is commented as C does it.
  """

  use Protobuf,
    full_name: "odd_names.v2.Outer",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :first, 0

  oneof :second, 1

  field :a_text, 1, type: :string, json_name: "aText", oneof: 0
  field :an_inner, 2, type: OddNames.V2.Outer.Inner, json_name: "anInner", oneof: 0
  field :some_bytes, 3, type: :bytes, json_name: "someBytes", oneof: 1
  field :state, 4, type: OddNames.V2.State, enum: true, oneof: 1
  field :maybe_this, 5, proto3_optional: true, type: :double, json_name: "maybeThis"

  field :maybe_state_with_a_name_that_does_not_fit_on_a_line_of_elixir, 6,
    proto3_optional: true,
    type: OddNames.V2.State,
    json_name: "maybeStateWithANameThatDoesNotFitOnALineOfElixir",
    enum: true

  field :inners, 7, repeated: true, type: OddNames.V2.Outer.InnersEntry, map: true
  field :flags, 8, repeated: true, type: OddNames.V2.Outer.FlagsEntry, map: true
  field :at, 9, type: Google.Protobuf.Timestamp, deprecated: true
  field :signed_numbers, 10, repeated: true, type: :sint64, json_name: "signedNumbers"
  field :x, 11, type: :fixed32, json_name: "theX"
  field :nothing, 12, type: OddNames.V2.Outer.UncommentedName
  field :last, 13, type: :sfixed64
end

defmodule OddNames.V2.Old do
  use Protobuf,
    deprecated: true,
    full_name: "odd_names.v2.Old",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :value, 1, type: :float
end

defmodule OddNames.V2.Calls.Service do
  @moduledoc """
  Calls has every shape.
  """

  use GRPC.Service, name: "odd_names.v2.Calls", protoc_gen_elixir_version: "0.17.0"

  rpc :Plain, OddNames.V2.Outer, OddNames.V2.Old

  rpc :ServerStream, OddNames.V2.Outer.Inner, stream(OddNames.V2.Outer)

  rpc :ClientStreamWithANameThatIsLong,
      stream(OddNames.V2.Outer.UncommentedName),
      OddNames.V2.Outer.UncommentedName

  rpc :Both, stream(OddNames.V2.Old), stream(OddNames.V2.Old)
end

defmodule OddNames.V2.Calls.Stub do
  use GRPC.Stub, service: OddNames.V2.Calls.Service
end

defmodule OddNames.V2.Unsaid.Service do
  use GRPC.Service, name: "odd_names.v2.Unsaid", protoc_gen_elixir_version: "0.17.0"

  rpc :Plain, OddNames.V2.Old, OddNames.V2.Old
end

defmodule OddNames.V2.Unsaid.Stub do
  use GRPC.Stub, service: OddNames.V2.Unsaid.Service
end
