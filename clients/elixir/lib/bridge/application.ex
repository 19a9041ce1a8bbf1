defmodule Bridge.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args) do
    Supervisor.start_link([{Registry, keys: :unique, name: Bridge.Registry}],
      strategy: :one_for_one,
      name: Bridge.Supervisor
    )
  end
end
