defmodule Bridge.JSON do
  @moduledoc """
  JSON (RFC 8259), strict, without any package: schemas, metrics' parameters, tools' arguments and the server's own
  lines are JSON whatever packages there are, and the same code reads them everywhere.

  Objects become maps with text keys, `null` becomes `nil`, integers stay exact at any size. `encode/1` writes what
  `Bridge.Value` lists; bytes become base64 text, `:nan`, `:infinity` and `:neg_infinity` the texts that the bridge has
  for them.
  """

  alias Bridge.Value

  @doc """
  Reads one JSON value.

      iex> Bridge.JSON.decode(~s({"n": 9223372036854775807, "list": [1.5, null]}))
      {:ok, %{"list" => [1.5, nil], "n" => 9223372036854775807}}
      iex> Bridge.JSON.decode("[1,]")
      {:error, "expected a JSON value at byte 3, got \\"]\\""}
  """
  @spec decode(binary()) :: {:ok, term()} | {:error, String.t()}
  def decode(text) when is_binary(text) do
    {value, rest} = value(skip(text))

    case skip(rest) do
      "" -> {:ok, value}
      more -> {:error, complaint("the end", more, text)}
    end
  catch
    {:json, expected, rest} -> {:error, complaint(expected, rest, text)}
  end

  @doc "As `decode/1`; raises `ArgumentError`."
  @spec decode!(binary()) :: term()
  def decode!(text) do
    case decode(text) do
      {:ok, value} -> value
      {:error, message} -> raise ArgumentError, message
    end
  end

  @doc """
  Writes a value. Raises `ArgumentError` for what JSON has no form for.

      iex> Bridge.JSON.encode(%{a: [1, :nan, nil, "ü"]})
      ~s({"a":[1,"NaN",null,"ü"]})
  """
  @spec encode(term()) :: String.t()
  def encode(value), do: IO.iodata_to_binary(write(value))

  # -- reading

  defp complaint(expected, rest, text) do
    at = byte_size(text) - byte_size(rest)
    got = if rest == "", do: "the end", else: inspect(String.slice(rest, 0, 12))
    "expected #{expected} at byte #{at}, got #{got}"
  end

  defp fail(expected, rest), do: throw({:json, expected, rest})

  defp skip(<<c, rest::binary>>) when c in [?\s, ?\t, ?\n, ?\r], do: skip(rest)
  defp skip(rest), do: rest

  defp value(<<?", rest::binary>>), do: text(rest, rest, 0, [])
  defp value(<<?{, rest::binary>>), do: object(skip(rest))
  defp value(<<?[, rest::binary>>), do: array(skip(rest))
  defp value("true" <> rest), do: {true, rest}
  defp value("false" <> rest), do: {false, rest}
  defp value("null" <> rest), do: {nil, rest}
  defp value(<<c, _::binary>> = rest) when c == ?- or c in ?0..?9, do: number(rest)
  defp value(rest), do: fail("a JSON value", rest)

  defp object("}" <> rest), do: {%{}, rest}
  defp object(rest), do: members(rest, [])

  defp members(<<?", rest::binary>>, members) do
    {name, rest} = text(rest, rest, 0, [])

    with ":" <> rest <- skip(rest) do
      {value, rest} = value(skip(rest))
      after_member(skip(rest), [{name, value} | members])
    else
      other -> fail("':'", other)
    end
  end

  defp members(rest, _members), do: fail("a name in quotes", rest)

  defp after_member("," <> rest, members), do: members(skip(rest), members)
  defp after_member("}" <> rest, members), do: {Map.new(Enum.reverse(members)), rest}
  defp after_member(rest, _members), do: fail("',' or '}'", rest)

  defp array("]" <> rest), do: {[], rest}
  defp array(rest), do: items(rest, [])

  defp items(rest, items) do
    {value, rest} = value(rest)

    case skip(rest) do
      "," <> rest -> items(skip(rest), [value | items])
      "]" <> rest -> {Enum.reverse(items, [value]), rest}
      other -> fail("',' or ']'", other)
    end
  end

  # `text` is what has not been taken yet, of which the first `size` bytes are plain.
  defp text(<<?", rest::binary>>, text, size, parts), do: {join(parts, text, size), rest}

  defp text(<<?\\, rest::binary>>, text, size, parts) do
    {character, rest} = escape(rest)
    text(rest, rest, 0, [<<character::utf8>>, binary_part(text, 0, size) | parts])
  end

  defp text(<<c, _::binary>> = rest, _text, _size, _parts) when c < 0x20, do: fail("text without control bytes", rest)
  defp text(<<c, rest::binary>>, text, size, parts) when c < 0x80, do: text(rest, text, size + 1, parts)
  defp text(<<c::utf8, rest::binary>>, text, size, parts) when c < 0x800, do: text(rest, text, size + 2, parts)
  defp text(<<c::utf8, rest::binary>>, text, size, parts) when c < 0x10000, do: text(rest, text, size + 3, parts)
  defp text(<<_::utf8, rest::binary>>, text, size, parts), do: text(rest, text, size + 4, parts)
  defp text("", _text, _size, _parts), do: fail("'\"' at the end of a text", "")
  defp text(rest, _text, _size, _parts), do: fail("UTF-8", rest)

  defp join([], text, size), do: :binary.copy(binary_part(text, 0, size))
  defp join(parts, text, size), do: IO.iodata_to_binary(Enum.reverse(parts, [binary_part(text, 0, size)]))

  for {letter, character} <- [{?", ?"}, {?\\, ?\\}, {?/, ?/}, {?b, ?\b}, {?f, ?\f}, {?n, ?\n}, {?r, ?\r}, {?t, ?\t}] do
    defp escape(<<unquote(letter), rest::binary>>), do: {unquote(character), rest}
  end

  defp escape(<<?u, digits::binary-size(4), rest::binary>> = all) do
    case hex(digits, all) do
      high when high in 0xD800..0xDBFF -> {surrogates(high, rest), binary_part(rest, 6, byte_size(rest) - 6)}
      low when low in 0xDC00..0xDFFF -> fail("a high surrogate first", all)
      character -> {character, rest}
    end
  end

  defp escape(rest), do: fail("an escape", rest)

  defp surrogates(high, <<?\\, ?u, digits::binary-size(4), _::binary>> = rest) do
    case hex(digits, rest) do
      low when low in 0xDC00..0xDFFF -> 0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)
      _ -> fail("a low surrogate", rest)
    end
  end

  defp surrogates(_high, rest), do: fail("a low surrogate", rest)

  defp hex(digits, rest) do
    if digits =~ ~r/\A[0-9A-Fa-f]{4}\z/, do: String.to_integer(digits, 16), else: fail("four hexadecimal digits", rest)
  end

  defp number(text) do
    {whole, rest} = whole(text)
    {fraction, rest} = fraction(rest)
    {exponent, rest} = exponent(rest)

    if fraction == "" and exponent == "" do
      {String.to_integer(whole), rest}
    else
      fraction = if fraction == "", do: ".0", else: fraction
      {float(whole <> fraction <> exponent, text), rest}
    end
  end

  defp float(digits, text) do
    String.to_float(digits)
  rescue
    ArgumentError -> fail("a number that a float of 64 bits can hold", text)
  end

  defp whole("-" <> rest = all) do
    {digits, rest} = digits(rest, all)
    {"-" <> digits, rest}
  end

  defp whole(text), do: digits(text, text)

  defp fraction("." <> rest = all) do
    {digits, rest} = many_digits(rest, all)
    {"." <> digits, rest}
  end

  defp fraction(rest), do: {"", rest}

  defp exponent(<<e, rest::binary>> = all) when e in [?e, ?E] do
    {sign, rest} =
      case rest do
        "+" <> rest -> {"", rest}
        "-" <> rest -> {"-", rest}
        rest -> {"", rest}
      end

    {digits, rest} = many_digits(rest, all)
    {"e" <> sign <> digits, rest}
  end

  defp exponent(rest), do: {"", rest}

  defp digits("0" <> rest, _all), do: {"0", rest}
  defp digits(rest, all), do: many_digits(rest, all)

  defp many_digits(text, all) do
    case count_digits(text, 0) do
      0 -> fail("a number", all)
      size -> {binary_part(text, 0, size), binary_part(text, size, byte_size(text) - size)}
    end
  end

  defp count_digits(<<c, rest::binary>>, size) when c in ?0..?9, do: count_digits(rest, size + 1)
  defp count_digits(_rest, size), do: size

  # -- writing

  defp write(nil), do: "null"
  defp write(true), do: "true"
  defp write(false), do: "false"
  defp write(:nan), do: ~s("NaN")
  defp write(:infinity), do: ~s("Infinity")
  defp write(:neg_infinity), do: ~s("-Infinity")
  defp write(value) when is_atom(value), do: write_text(Atom.to_string(value))
  defp write(value) when is_integer(value), do: Integer.to_string(value)
  defp write(value) when is_float(value), do: Float.to_string(value)
  defp write(value) when is_binary(value), do: write_text(value)
  defp write(value) when is_list(value), do: [?[, Enum.map_intersperse(value, ?,, &write/1), ?]]
  defp write(%Bridge.Bytes{data: data}), do: [?", Base.encode64(data), ?"]
  defp write(%_{} = value), do: value |> Value.to_plain() |> write()

  defp write(value) when is_map(value) do
    members = Enum.map_intersperse(value, ?,, fn {key, item} -> [write_text(Value.key(key)), ?:, write(item)] end)
    [?{, members, ?}]
  end

  defp write(value), do: Value.refuse(value)

  defp write_text(text) do
    unless String.valid?(text), do: Value.refuse_text(text)
    [?", escaped(text, text, 0, []), ?"]
  end

  defp escaped(<<c, rest::binary>>, text, size, parts) when c < 0x20 or c in [?", ?\\] do
    escaped(rest, rest, 0, [escape_of(c), binary_part(text, 0, size) | parts])
  end

  defp escaped(<<_, rest::binary>>, text, size, parts), do: escaped(rest, text, size + 1, parts)
  defp escaped("", text, _size, []), do: text
  defp escaped("", text, _size, parts), do: Enum.reverse(parts, [text])

  defp escape_of(?"), do: ~S(\")
  defp escape_of(?\\), do: ~S(\\)
  defp escape_of(?\n), do: ~S(\n)
  defp escape_of(?\r), do: ~S(\r)
  defp escape_of(?\t), do: ~S(\t)
  defp escape_of(c), do: ["\\u", c |> Integer.to_string(16) |> String.pad_leading(4, "0")]
end
