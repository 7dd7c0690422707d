"""A small server that behaves as vLLM's documented routes do, for tests of what talks to vLLM.

``python fake_vllm.py --port PORT --model NAME [--api-key KEY] [--max-lora-rank N]``. It was written
from vLLM's documentation of LoRA adapters and its OpenAI-compatible server: `/health` without a
body and without a key; a key for everything below `/v1`; the two routes for adapters only with
VLLM_ALLOW_RUNTIME_LORA_UPDATING; a name that is loaded is refused; plain text after a success. Its
model answers with the name that was asked for and the last message. Each load and each chat is a
line on standard output.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Refusal(Exception):
    """An answer with vLLM's error object."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "type": kind, "param": param, "code": status}


class FakeVllm(ThreadingHTTPServer):
    """The base model, the adapters by name, and what the server was started with."""

    daemon_threads = True

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", options.port), Handler)
        self.options = options
        self.adapters: dict[str, str] = {}
        self.lock = threading.Lock()
        allowed = os.environ.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "0")
        self.updating = allowed.lower() in ("true", "1")

    def models(self) -> list[dict[str, Any]]:
        base = self.options.model
        named = [(base, f"/models/{base}", None)]
        named += [(name, path, base) for name, path in self.adapters.items()]
        return [
            {"id": name, "object": "model", "owned_by": "vllm", "root": root, "parent": parent}
            for name, root, parent in named
        ]

    def load(self, wanted: dict[str, Any]) -> str:
        name, path = wanted.get("lora_name"), wanted.get("lora_path")
        if not name or not path:
            message = "Both 'lora_name' and 'lora_path' must be provided."
            raise Refusal(400, "InvalidUserInput", message)
        with self.lock:
            if name in self.adapters and not wanted.get("load_inplace"):
                message = f"The lora adapter '{name}' has already been loaded."
                raise Refusal(400, "InvalidUserInput", message)
            config = Path(path) / "adapter_config.json"
            if not config.is_file():
                message = f"Loading lora {name} failed: No adapter found for {path}"
                raise Refusal(404, "NotFoundError", message)
            rank, most = json.loads(config.read_text()).get("r", 8), self.options.max_lora_rank
            if rank > most:
                message = f"LoRA rank {rank} is greater than max_lora_rank {most}."
                raise Refusal(500, "InternalServerError", message)
            self.adapters[name] = path
        return f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, wanted: dict[str, Any]) -> str:
        name = wanted.get("lora_name")
        with self.lock:
            if name not in self.adapters:
                message = f"The lora adapter '{name}' cannot be found."
                raise Refusal(404, "NotFoundError", message)
            del self.adapters[name]
        return f"Success: LoRA adapter '{name}' removed successfully."

    def words(self, wanted: dict[str, Any]) -> Iterator[str]:
        """The answer. To ``endless`` there is no end, and a folder named torn breaks every one."""
        model = wanted.get("model")
        if model != self.options.model and model not in self.adapters:
            message = f"The model `{model}` does not exist."
            raise Refusal(404, "NotFoundError", message, "model")
        if not 0 <= wanted.get("temperature", 1) <= 2:
            message = "temperature must be in [0, 2]"
            raise Refusal(400, "BadRequestError", message, "temperature")
        if Path(self.adapters.get(model, "")).name == "torn":
            raise Refusal(500, "InternalServerError", "the adapter's weights cannot be read")
        said = wanted["messages"][-1]["content"]
        if said == "endless":
            return itertools.cycle(["on ", "and "])
        return iter([f"{model} ", "hears ", said])


class Handler(BaseHTTPRequestHandler):
    """The routes."""

    protocol_version = "HTTP/1.1"
    server: FakeVllm

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, b"", "text/plain")
        elif self.path == "/v1/models" and self.authorized():
            self.answer_json(200, {"object": "list", "data": self.server.models()})
        elif self.path != "/v1/models":
            self.answer_json(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.authorized():
            return
        wanted = json.loads(body)
        sys.stdout.write(json.dumps({"path": self.path, **wanted}) + "\n")
        sys.stdout.flush()
        try:
            if self.path == "/v1/chat/completions":
                self.chat(wanted)
            elif self.path == "/v1/load_lora_adapter" and self.server.updating:
                self.answer(200, self.server.load(wanted).encode(), "text/plain")
            elif self.path == "/v1/unload_lora_adapter" and self.server.updating:
                self.answer(200, self.server.unload(wanted).encode(), "text/plain")
            else:
                self.answer_json(404, {"detail": "Not Found"})
        except Refusal as refusal:
            self.answer_json(refusal.status, {"error": refusal.body})

    def authorized(self) -> bool:
        key = self.server.options.api_key
        if not key or self.headers.get("Authorization") == f"Bearer {key}":
            return True
        self.answer_json(401, {"error": "Unauthorized"})
        return False

    def chat(self, wanted: dict[str, Any]) -> None:
        words, model = self.server.words(wanted), wanted["model"]
        head = {"id": "chatcmpl-1", "created": 1, "model": model}
        if wanted.get("stream"):
            self.stream(words, {**head, "object": "chat.completion.chunk"})
            return
        message = {"role": "assistant", "content": "".join(words)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
        whole = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        self.answer_json(200, whole)

    def stream(self, words: Iterator[str], head: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deltas = itertools.chain(
            [({"role": "assistant", "content": ""}, None)],
            (({"content": word}, None) for word in words),
            [({}, "stop")],
        )
        for delta, end in deltas:
            choice = {"index": 0, "delta": delta, "finish_reason": end}
            self.send_event(json.dumps({**head, "choices": [choice]}))
        self.send_event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def answer_json(self, status: int, body: dict[str, Any]) -> None:
        self.answer(status, json.dumps(body).encode(), "application/json")

    def answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (BrokenPipeError, ConnectionResetError):  # the client has heard enough
            self.close_connection = True

    def log_message(self, format: str, *values: Any) -> None:
        pass  # what the tests want to see is written above


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--model", required=True)
    options.add_argument("--api-key", default="")
    options.add_argument("--max-lora-rank", type=int, default=16)
    FakeVllm(options.parse_args()).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
