"""The work behind Ray Serve: a FastAPI deployment of two replicas that take one request at a time.

`python rayserve_app.py PORT`
"""

import sys
from typing import Any

import ray
import work
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from ray import serve

app = FastAPI()


class Call(BaseModel):
    function: str
    arguments: dict[str, Any]


@serve.deployment(
    num_replicas=2,
    max_ongoing_requests=1,
    max_queued_requests=16,
    health_check_period_s=1,
    health_check_timeout_s=2,
    graceful_shutdown_timeout_s=10,
    ray_actor_options={"num_cpus": 0.5},
)
@serve.ingress(app)
class Work:
    @app.post("/call")
    def call(self, call: Call) -> Any:
        return {"result": getattr(work, call.function)(**call.arguments)}

    @app.post("/stream")
    def stream(self, call: Call) -> StreamingResponse:
        return StreamingResponse(getattr(work, call.function)(**call.arguments), media_type="text/plain")


if __name__ == "__main__":
    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1]), "request_timeout_s": 10})
    serve.run(Work.bind(), blocking=True)
