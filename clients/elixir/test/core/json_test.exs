defmodule Bridge.JSONTest do
  use ExUnit.Case, async: true
  doctest Bridge.JSON

  alias Bridge.JSON

  test "reads every kind of value" do
    text = ~s( {"a": [1, -2, 0, 1.5e3, -0.25, 2E-2], "b": {"c": null, "d": [true, false]}, "": [], "e": {}} )

    assert JSON.decode!(text) == %{
             "a" => [1, -2, 0, 1500.0, -0.25, 0.02],
             "b" => %{"c" => nil, "d" => [true, false]},
             "" => [],
             "e" => %{}
           }
  end

  test "keeps integers of any size" do
    assert JSON.decode!("9223372036854775807") == 9_223_372_036_854_775_807
    assert JSON.decode!("-123456789012345678901234567890") == -123_456_789_012_345_678_901_234_567_890
    assert JSON.encode(18_446_744_073_709_551_615) == "18446744073709551615"
  end

  test "reads and writes text with escapes, surrogates and controls" do
    assert JSON.decode!(~S("a\"\\\/\b\f\n\r\t\u00fc\ud83d\ude00é")) == "a\"\\/\b\f\n\r\tü😀é"

    for text <- ["", "plain", "quote \" and \\", "line\nend\r\t", <<0, 31, 127>>, "ü€😀"] do
      assert text |> JSON.encode() |> JSON.decode!() == text
    end
  end

  test "refuses what is not JSON, and says where" do
    for text <- [
          "",
          " ",
          "01",
          "1.",
          ".5",
          "1e",
          "-",
          "+1",
          "[1,]",
          "[1 2]",
          "{\"a\"}",
          "{a: 1}",
          "{\"a\":1,}",
          "tru",
          "nul",
          "\"a",
          "\"\n\"",
          "\"\\x\"",
          "\"\\ud800\"",
          "\"\\ude00\"",
          "\"\\u00g0\"",
          "1 2",
          "NaN",
          "1e400",
          <<?", 0xFF, ?">>,
          "'a'"
        ] do
      assert {:error, "expected " <> message} = JSON.decode(text), "#{inspect(text)} was read"
      assert message =~ ~r/at byte \d+, got /
    end
  end

  test "writes structs, atoms, bytes and numbers that are not finite" do
    assert JSON.encode(%{day: ~D[2026-11-21]}) == ~s({"day":"2026-11-21"})
    assert JSON.encode([:nan, :infinity, :neg_infinity]) == ~s(["NaN","Infinity","-Infinity"])
    assert JSON.encode(%Bridge.Bytes{data: <<1, 2, 255>>}) == ~s("AQL/")
    assert JSON.encode(%{1 => :atom}) == ~s({"1":"atom"})
  end

  test "says what cannot be written" do
    assert_raise ArgumentError, ~r/tuple \{1, 2\}/, fn -> JSON.encode({1, 2}) end
    assert_raise ArgumentError, ~r/wrap bytes in Bridge.bytes/, fn -> JSON.encode(<<0xFF>>) end
    assert_raise ArgumentError, ~r/Bridge.Tensor.to_list/, fn -> JSON.encode(Bridge.Tensor.new([1.0])) end
  end
end
