"""LitServe and Ray Serve, by HTTP: apps/litserve_app.py and apps/rayserve_app.py, each in an environment of its own."""

from __future__ import annotations

from pathlib import Path

from adapters.contract import APPS, Adapter, pinned
from http_client import HttpClient


class LitServe(Adapter):
    name = "litserve"
    title = f"LitServe {pinned('litserve.txt', 'litserve')}"
    requirements = "litserve.txt"
    start_limit_s = 90.0

    def command(self, port: int) -> list[str]:
        return [self.python, str(APPS / "litserve_app.py"), str(port)]

    async def client(self, _output: Path, port: int, _limit_s: float) -> HttpClient:
        return HttpClient(port, "/health")


class RayServe(Adapter):
    name = "ray"
    title = f"Ray Serve {pinned('ray.txt', 'ray')}"
    requirements = "ray.txt"
    start_limit_s = 180.0

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "RAY_USAGE_STATS_ENABLED": "0"}

    def command(self, port: int) -> list[str]:
        return [self.python, str(APPS / "rayserve_app.py"), str(port)]

    async def client(self, _output: Path, port: int, _limit_s: float) -> HttpClient:
        return HttpClient(port, "/-/healthz")
