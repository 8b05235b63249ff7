"""A small HTTP/1.1 client with keep-alive, which takes little of the processors that it shares with the server."""
import asyncio
import json
import time
from dataclasses import dataclass

TIME_LIMIT_S = 40


@dataclass(frozen=True)
class Response:
    """The outcome of a request; the status is 0 if there was none."""

    start: float
    seconds: float
    status: int
    code: str
    has_retry_after: bool


class Client:
    """Sends requests over as many connections as there are concurrent requests."""

    def __init__(self, port):
        self.port, self.idle = port, []

    async def graphql(self, query, **headers):
        body = json.dumps({"query": query}).encode()
        return await self.request("POST", "/graphql", body, {"content-type": "application/json", **headers})

    async def get(self, path):
        return await self.request("GET", path, b"", {})

    async def request(self, method, path, body, headers):
        start = time.perf_counter()
        try:
            status, head, answer = await asyncio.wait_for(self.exchange(method, path, body, headers), TIME_LIMIT_S)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError):
            return Response(start, time.perf_counter() - start, 0, "NO_RESPONSE", False)
        return Response(start, time.perf_counter() - start, status, code(answer), "\r\nretry-after:" in head)

    async def exchange(self, method, path, body, headers):
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:"))
            answer = await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return int(head[9:12]), head, answer

    def close(self):
        for _, writer in self.idle:
            writer.close()


def code(answer):
    """The code of the first error."""
    if b'"errors"' not in answer:
        return ""
    try:
        return json.loads(answer)["errors"][0]["extensions"]["code"]
    except (ValueError, KeyError, IndexError):
        return ""


def quantile(values, fraction):
    """The value below which this fraction of the values is; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0
