defmodule BridgeClient.MixProject do
  @moduledoc false
  use Mix.Project

  # Two builds from one tree. `core/` needs no package and compiles from Elixir 1.14 on; `lib/` is the client itself
  # and needs the packages below. BRIDGE_CORE_ONLY=1 builds and tests `core/` alone, where packages are not reachable.
  defp core_only?, do: System.get_env("BRIDGE_CORE_ONLY") == "1"

  # A folder with the packages' sources, one folder per package, in place of hex: for machines that cannot reach it.
  defp sources, do: System.get_env("BRIDGE_ELIXIR_DEPS")

  def project do
    [
      app: :bridge_client,
      version: "0.1.0",
      elixir: if(core_only?(), do: "~> 1.14", else: "~> 1.15"),
      elixirc_paths: elixirc_paths(core_only?(), Mix.env()),
      test_paths: test_paths(core_only?()),
      start_permanent: Mix.env() == :prod,
      consolidate_protocols: Mix.env() != :test,
      deps: deps(core_only?()),
      description: "The Elixir client of the polyglot bridge: Python functions, DSPy programs and models over gRPC",
      package: package(),
      docs: [main: "readme", extras: ["README.md"]]
    ]
  end

  def application do
    application = [extra_applications: [:logger, :crypto, :public_key, :ssl]]
    if core_only?(), do: application, else: [{:mod, {Bridge.Application, []}} | application]
  end

  defp elixirc_paths(true, _env), do: ["core"]
  defp elixirc_paths(false, :test), do: ["core", "lib", "test/support"]
  defp elixirc_paths(false, _env), do: ["core", "lib"]

  defp test_paths(true), do: ["test/core"]
  defp test_paths(false), do: ["test/core", "test/full"]

  defp deps(true), do: []

  defp deps(false) do
    packages = [
      {:grpc, "~> 1.0"},
      {:protobuf, "~> 0.17"},
      {:gun, "~> 2.2"},
      {:telemetry, "~> 1.0"},
      {:ex_doc, "~> 0.34", only: :dev, runtime: false}
    ]

    if folder = sources(), do: from_sources(packages, folder), else: packages
  end

  # What is not there is left to the packages that need it: they name their own sources.
  defp from_sources(packages, sources) do
    for package <- packages,
        name = elem(package, 0),
        folder = Path.join(sources, to_string(name)),
        File.dir?(folder),
        do: {name, path: folder, override: true}
  end

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{"GitHub" => "https://github.com/polyglot-bridge/polyglot-bridge"},
      files: ~w(core lib mix.exs README.md LICENSE .formatter.exs)
    ]
  end
end
