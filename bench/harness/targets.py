"""The servers that are measured: how each is started, asked and watched."""
import http.client
import json
import os
import signal
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

from . import proc
from .queries import document, peer_variables

BENCH = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", BENCH.parent / "target")).resolve()
# As packages and images have it: `just dist`.
PROFILE = ("--profile", "dist", "--features", "jemalloc")
GATHERUM = TARGET / "dist" / "gatherum"
FLOOR = TARGET / "bench-floor" / "release" / "floor"
# Its version is in peers/package-lock.json, as those of the libraries are.
NODE = BENCH / "peers" / "node_modules" / "node" / "bin" / "node"
PYTHON = BENCH / ".work" / "venv" / "bin"
STRATEGY = {"kept": "maintained", "live": "live"}
PEERS = ("mercurius", "yoga", "postgraphile", "strawberry")
START_LIMIT_S = 30


@dataclass(eq=False)
class Target:
    """A server that runs as a process of ours."""

    name: str
    url: str
    counts: str
    extra_env: dict = field(default_factory=dict)
    process: subprocess.Popen = None
    port: int = 0

    def command(self):
        raise NotImplementedError

    def path(self, query):
        return "/graphql"

    def body(self, query):
        return {"query": query.document, "variables": query.variables}

    def start(self):
        """Starts it and waits until it answers; returns how long that took, in seconds."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        begun = time.perf_counter()
        command, cwd, env = self.command()
        log = open(BENCH / ".work" / f"{self.name.replace(' ', '-')}.log", "w")
        self.process = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **env, **self.extra_env}, stdout=log, stderr=log, start_new_session=True
        )
        while True:
            try:
                self.answer(FIRST)
                return time.perf_counter() - begun
            except (ConnectionError, http.client.HTTPException):
                if self.process.poll() is not None or time.perf_counter() - begun > START_LIMIT_S:
                    raise RuntimeError(f"{self.name} did not start: see {log.name}") from None
                time.sleep(0.001)

    def stop(self):
        # Its own process group: a cluster's workers go with it.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def request(self, query):
        """URL and body."""
        return f"http://127.0.0.1:{self.port}{self.path(query)}", json.dumps(self.body(query)).encode()

    def answer(self, query, headers=None):
        """The answer to a query, as it came."""
        url, body = self.request(query)
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
        try:
            connection.request("POST", self.path(query), body, {"content-type": "application/json", **(headers or {})})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"{self.name}: {response.status} {answer[:500]}")
        return answer

    def data(self, query):
        """The data of the answer, in gatherum's shape with plain UUIDs."""
        return json.loads(self.answer(query))["data"]

    def pids(self):
        return proc.family(self.process.pid)

    def cpu_times(self):
        """Of the server's processes, and of the database's."""
        return proc.cpu_times(self.pids()), proc.cpu_times(self.backends())

    def backends(self):
        """The database's processes; none for SQLite, which runs in the server's own."""
        if self.url.startswith("sqlite:"):
            return []
        return proc.postgres_backends(urllib.parse.urlsplit(self.url).path.lstrip("/"))


class Gatherum(Target):
    """This repository's server, quiet, with its default settings otherwise."""

    def command(self):
        return [GATHERUM, "serve"], BENCH / ".work", {
            "DATABASE_URL": self.url,
            "COUNT_STRATEGY": STRATEGY[self.counts],
            "GATHERUM_BIND": f"127.0.0.1:{self.port}",
            "LOG_LEVEL": "warn",
        }

    def report(self, query):
        """What the server itself says of the request."""
        return json.loads(self.answer(query, {"x-gatherum-stats": "1"}))["extensions"]["gatherum"]


class Floor(Target):
    """Hand-written handlers."""

    def command(self):
        return [FLOOR, self.url, self.counts, f"127.0.0.1:{self.port}"], BENCH, {}

    def path(self, query):
        return f"/{query.name}"


class Peer(Target):
    """Another GraphQL server on PostgreSQL."""

    def command(self):
        env = {"DATABASE_URL": self.url, "COUNTS": self.counts, "PORT": str(self.port), "NODE_ENV": "production",
               "GRAPHILE_ENV": "production", "WORKERS": str(os.cpu_count())}
        if self.name.startswith("strawberry"):
            command = [PYTHON / "uvicorn", "server:app", "--port", str(self.port), "--workers", env["WORKERS"],
                       "--log-level", "warning", "--no-access-log"]
            return command, BENCH / "peers" / "strawberry", env
        return [NODE, f"{self.library()}/server.mjs"], BENCH / "peers", env

    def library(self):
        return self.name.split()[0]

    def body(self, query):
        text = query.document
        if self.library() == "postgraphile":
            folder = BENCH / "peers" / "postgraphile"
            text = (folder / f"{query.name}.graphql").read_text() + (folder / f"count_{self.counts}.graphql").read_text()
        return {"query": text, "variables": peer_variables(query.variables)}


# Answered when a server is ready.
FIRST = document("q3")
