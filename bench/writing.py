#!/usr/bin/env python3
"""Measures createArtifacts of 1,000 beside a hand-written handler with one multi-row insert, on both databases.

    python3 bench/writing.py

Each server has an empty database of its own. Requests go from one to the other in turn, over one connection each; the
figures are medians. Needed: what run.py needs, but for npm and wrk.
"""
import http.client
import json
import os
import statistics
import time

from harness.prepare import POSTGRES, WORK, psql, run
from harness.targets import BENCH, FLOOR, GATHERUM, PROFILE, TARGET, Floor, Gatherum

ARTIFACTS = 1_000
ROUNDS = 30
MUTATION = """mutation ($input: CreateArtifactsInput!) { createArtifacts(input: $input) {
  results { artifact { id name } error { code } } } }"""


def artifacts(number):
    return [{"type": "skill", "name": f"artifact {number}-{n}", "description": f"What number {n} of {number} is for"}
            for n in range(ARTIFACTS)]


def database(kind, name):
    """An empty, migrated database."""
    if kind == "PostgreSQL":
        psql("postgres", f"drop database if exists gatherum_bench_{name}", f"create database gatherum_bench_{name}")
        url = f"{POSTGRES}/gatherum_bench_{name}?sslmode=disable"
    else:
        for old in WORK.glob(f"{name}.db*"):
            old.unlink()
        url = f"sqlite://{WORK / name}.db"
    run(GATHERUM, "migrate", "up", "--database-url", url, "--log-level", "warn")
    return url


def body(target, number):
    """The request, built before the measurement."""
    items = artifacts(number)
    if isinstance(target, Floor):
        return "/create", json.dumps({"artifacts": items}).encode()
    return "/graphql", json.dumps({"query": MUTATION, "variables": {"input": {"artifacts": items}}}).encode()


def made(target, answer):
    data = json.loads(answer)
    items = data["data"] if isinstance(target, Floor) else [
        result["artifact"] for result in data["data"]["createArtifacts"]["results"]]
    return [item["name"] for item in items]


def ask(target, connection, number):
    """Seconds for one request."""
    path, request = body(target, number)
    begun = time.perf_counter()
    connection.request("POST", path, request, {"content-type": "application/json"})
    answer = connection.getresponse().read()
    taken = time.perf_counter() - begun
    if made(target, answer) != [item["name"] for item in artifacts(number)]:
        raise SystemExit(f"{target.name}: {answer[:500]}")
    return taken


def main():
    WORK.mkdir(exist_ok=True)
    run("cargo", "build", *PROFILE, "--locked", cwd=BENCH.parent, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    run("cargo", "build", "--release", "--locked", cwd=BENCH / "floor",
        env={**os.environ, "CARGO_TARGET_DIR": str(FLOOR.parent.parent)})
    print("| database | gatherum, artifacts/s | by hand, artifacts/s | share |\n|---|--:|--:|--:|")
    for kind in ("PostgreSQL", "SQLite"):
        targets = [Gatherum("gatherum", database(kind, "written"), "kept"), Floor("floor", database(kind, "by_hand"), "kept")]
        taken = {target: [] for target in targets}
        try:
            for target in targets:
                target.start()
            connections = {target: http.client.HTTPConnection("127.0.0.1", target.port) for target in targets}
            for number in range(ROUNDS + 3):
                for target in targets:
                    taken[target].append(ask(target, connections[target], number))
        finally:
            for target in targets:
                if target.process:
                    target.stop()
        # The first ones prepare statements and open connections.
        rates = [ARTIFACTS / statistics.median(taken[target][3:]) for target in targets]
        print(f"| {kind} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[0] / rates[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
