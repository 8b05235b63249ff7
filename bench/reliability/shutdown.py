#!/usr/bin/env python3
"""Measures how many requests a server loses when it is stopped (goal R10).

    python3 bench/reliability/shutdown.py                # three minutes
    python3 bench/reliability/shutdown.py --short        # seconds; the same goals in four rounds instead of forty
    python3 bench/reliability/shutdown.py --database postgres://…/empty_database

The server is target/release/gatherum, or --program. 32 clients send requests as fast as they can, know nothing of
/health/ready and continue until they cannot connect: half of them open a connection for each request, the others keep
theirs until the server closes it. A quarter writes, with Accept: text/event-stream. Each round starts the server, stops it
with SIGTERM under this load, and waits until it exits. A request is lost if its connection was established and it has no
complete response; one that is rejected under overload has one. Requests before the signal count as well, as in a deployment; the stricter ratio counts only requests that
were sent after it.
"""
import argparse
import json
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid

import server

CLIENTS = 32
# Time under load before the signal.
LOAD_S = 1.0
EXIT_LIMIT_S = 15
READ = "{ artifacts(first: 1) { nodes { name } } }"
WRITE = "mutation($name: String!) { createArtifact(input: { type: \"skill\", name: $name }) { artifact { name } } }"
LOST = (ConnectionError, EOFError, TimeoutError)


class Stop:
    """The time of the signal, shared by the clients of a round."""

    at = float("inf")


class Client(threading.Thread):
    """Sends requests until the server refuses connections."""

    def __init__(self, port, number, stop):
        super().__init__()
        self.port, self.stop = port, stop
        self.prefix = uuid.uuid4().hex
        self.keeps_connection, self.writes = number % 2 == 1, number % 8 < 2
        self.sent = self.sent_late = self.lost = self.rejected = 0
        # Names of the writes that were acknowledged.
        self.acknowledged = []
        self.errors = []

    def run(self):
        connection = None
        while True:
            try:
                connection = connection or connect(self.port)
            except ConnectionRefusedError:
                return
            except LOST as error:
                self.errors.append(f"connect: {error!r}")
                continue
            connection = self.exchange(connection)

    def exchange(self, connection):
        """Sends a request; returns the connection if it can be used again."""
        name = f"{self.prefix}{self.sent}"
        start = time.perf_counter()
        self.sent += 1
        self.sent_late += start > self.stop.at
        try:
            connection.sendall(request(name if self.writes else None))
            head, body = receive(connection)
            is_rejected = head.startswith(b"HTTP/1.1 503") and b"retry-after" in head.lower()
            is_complete = b"event: complete" in body if self.writes else body.startswith(b'{"data":{')
            if not is_rejected and not (head.startswith(b"HTTP/1.1 200") and is_complete):
                raise EOFError(f"an incomplete response: {head[:15]!r} {body[:80]!r}")
        except LOST as error:
            self.lost += 1
            self.errors.append(f"{start - self.stop.at:.3f} s after the signal: {error!r}")
            connection.close()
            return None
        self.rejected += is_rejected
        if self.writes and not is_rejected:
            self.acknowledged.append(name)
        if self.keeps_connection and b"connection: close" not in head.lower():
            return connection
        connection.close()
        return None


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=EXIT_LIMIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def request(name):
    """A mutation that writes an artifact with this name, or a query."""
    operation = {"query": WRITE, "variables": {"name": name}} if name else {"query": READ}
    accept = "text/event-stream" if name else "application/json"
    body = json.dumps(operation)
    return (f"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\naccept: {accept}\r\n"
            f"content-length: {len(body)}\r\n\r\n{body}").encode()


def receive(connection):
    """The head and the body of a response."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += chunk(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0]) if lengths else not body.endswith(b"0\r\n\r\n"):
        body += chunk(connection)
    return head, body


def chunk(connection):
    received = connection.recv(65_536)
    if not received:
        raise EOFError("the connection was closed")
    return received


def written(program, url, folder):
    """The names of all artifacts in the database, from an export."""
    run = subprocess.run([program, "export"], cwd=folder, env=server.environment({"DATABASE_URL": url}), capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"export failed: {run.stderr}")
    return {record.get("name") for record in map(json.loads, run.stdout.splitlines())}


def round_of(program, url, folder, delay):
    """Runs a server under load and stops it; returns its clients, its exit status and the time that it took to exit."""
    stop = Stop()
    with server.Server(program, url, folder, LOG_LEVEL="warn", GATHERUM_HTTP_SHUTDOWN_DELAY=delay) as target:
        clients = [Client(target.port, number, stop) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(LOAD_S)
        stop.at = time.perf_counter()
        target.process.send_signal(signal.SIGTERM)
        status = target.process.wait(timeout=60)
        seconds = time.perf_counter() - stop.at
        for client in clients:
            client.join()
    return clients, status, seconds


def second_signal(program, url, folder):
    """The time until the server exits after a second signal, while a request that is not complete holds the first one up."""
    with server.Server(program, url, folder, LOG_LEVEL="warn", GATHERUM_HTTP_BODY_TIMEOUT="60s") as target:
        waiting = connect(target.port)
        waiting.sendall(request(None)[:-1])
        with connect(target.port) as other:
            other.sendall(request(None))
            receive(other)
        target.process.send_signal(signal.SIGTERM)
        while True:
            try:
                connect(target.port).close()
                time.sleep(0.01)
            except ConnectionRefusedError:
                break
        has_waited = target.process.poll() is None
        start = time.perf_counter()
        target.process.send_signal(signal.SIGTERM)
        target.process.wait(timeout=60)
        waiting.close()
        return time.perf_counter() - start if has_waited else float("inf")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--program", default=server.RELEASE)
    parser.add_argument("--database", help="an empty database; default: a new SQLite file for each setting")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    report = server.Report("shutdown")
    for delay in ("0s", "1s"):
        with tempfile.TemporaryDirectory() as folder:
            url = args.database or f"sqlite://{folder}/catalogue.db"
            server.import_catalogue(args.program, url, 100)
            measure(report, args, url, folder, delay)
    raise SystemExit(0 if report.end() else 1)


def measure(report, args, url, folder, delay):
    sent = late = lost = rejected = unanswered = missing = 0
    longest, statuses = 0.0, set()
    before = written(args.program, url, folder)
    for _ in range(2 if args.short else args.rounds):
        clients, status, seconds = round_of(args.program, url, folder, delay)
        after = written(args.program, url, folder)
        acknowledged = {name for client in clients for name in client.acknowledged}
        unanswered += len(after - before - acknowledged)
        missing += len(acknowledged - after)
        before = after
        sent += sum(client.sent for client in clients)
        late += sum(client.sent_late for client in clients)
        lost += sum(client.lost for client in clients)
        rejected += sum(client.rejected for client in clients)
        longest, statuses = max(longest, seconds), statuses | {status}
        for error in [error for client in clients for error in client.errors][:5]:
            print(f"delay {delay}: {error}")
    prefix = f"shutdown_delay {delay}: "
    report.add(f"{prefix}lost of {sent} requests", f"{lost} ({100 * lost / sent:.3f} %)", "<= 0.1 %", lost <= sent / 1000)
    report.add(f"{prefix}lost of {late} sent after the signal", f"{lost} ({100 * lost / max(late, 1):.3f} %)", "<= 0.1 %", lost <= late / 1000)
    report.add(f"{prefix}rejected with 503 and Retry-After", rejected, "reported", True)
    report.add(f"{prefix}committed writes without a response", unanswered, 0, unanswered == 0)
    report.add(f"{prefix}acknowledged writes that are missing", missing, 0, missing == 0)
    report.add(f"{prefix}exit status", sorted(statuses), [0], statuses == {0})
    report.add(f"{prefix}longest time until the exit", f"{longest:.1f} s", f"<= {EXIT_LIMIT_S} s", longest <= EXIT_LIMIT_S)
    seconds = second_signal(args.program, url, folder)
    report.add(f"{prefix}exit after a second signal", f"{seconds:.2f} s", "<= 1 s", seconds <= 1)


if __name__ == "__main__":
    main()
