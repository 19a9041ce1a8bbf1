defmodule Bridge.FramesTest do
  use ExUnit.Case, async: true

  alias Bridge.{Frames, Parts}

  defp feed(pieces, limit \\ 1000) do
    {messages, frames} =
      Enum.reduce(pieces, {[], %Frames{}}, fn piece, {messages, frames} ->
        take(Frames.add(frames, piece), limit, messages)
      end)

    {Enum.reverse(messages), Frames.empty?(frames)}
  end

  defp take(frames, limit, messages) do
    case Frames.next(frames, limit) do
      {:ok, message, frames} -> take(frames, limit, [message | messages])
      {:more, frames} -> {messages, frames}
    end
  end

  test "messages come out whole however they were cut" do
    messages = ["", "a", String.duplicate("b", 300), "", "cd"]
    bytes = messages |> Enum.map(&Frames.pack/1) |> IO.iodata_to_binary()

    for size <- [1, 2, 3, 5, 7, 64, 1000] do
      pieces = for <<piece::binary-size(size) <- bytes>>, do: piece
      rest = binary_part(bytes, length(pieces) * size, rem(byte_size(bytes), size))
      assert feed(pieces ++ [rest]) == {messages, true}, "in pieces of #{size}"
    end
  end

  test "what is cut off is not empty" do
    <<part::binary-size(7), _::binary>> = IO.iodata_to_binary(Frames.pack("abcdef"))
    assert feed([part]) == {[], false}
    assert feed([<<0>>]) == {[], false}
  end

  test "too large and compressed messages are refused at their head" do
    assert {:error, {:too_large, 1001}} = %Frames{} |> Frames.add(<<0, 1001::32>>) |> Frames.next(1000)
    assert {:error, :compressed} = %Frames{} |> Frames.add(<<1, 0, 0, 0, 0>>) |> Frames.next(1000)
  end

  test "parts join to an item, and do not where one is missing" do
    assert {:ok, nil, state} = Parts.add(nil, 0, 4, "ab")
    assert {:ok, "abcd", nil} = Parts.add(state, 2, 4, "cd")
    assert {:ok, "abcd", nil} = Parts.add(nil, 0, 4, "abcd")
    assert {:error, "expected the part at 2 of 4 bytes, got 3 to 4 of 4"} = Parts.add(state, 3, 4, "d")
    assert {:error, _} = Parts.add(state, 2, 4, "cde")
    assert {:error, _} = Parts.add(state, 2, 5, "cd")
    assert {:error, _} = Parts.add(nil, 0, 4, "")
  end
end
