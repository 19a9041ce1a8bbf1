"""The work behind LitServe: one API for calls, one for streams, two workers each, dead workers restarted.

`python litserve_app.py PORT`
"""

import sys

import litserve
import work


class CallAPI(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["function"], request["arguments"]

    def predict(self, call):
        function, arguments = call
        return getattr(work, function)(**arguments)

    def encode_response(self, output):
        return {"result": output}


class StreamAPI(CallAPI):
    def predict(self, call):
        function, arguments = call
        yield from getattr(work, function)(**arguments)

    def encode_response(self, output):
        yield from output


if __name__ == "__main__":
    server = litserve.LitServer(
        [CallAPI(api_path="/call"), StreamAPI(api_path="/stream", stream=True)],
        accelerator="cpu",
        workers_per_device=2,
        timeout=10,
        restart_workers=True,
        track_requests=True,
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
