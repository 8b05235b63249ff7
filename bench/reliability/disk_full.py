#!/usr/bin/env python3
"""Checks that a full disk fails writes only, with their own code, and that they work again without a restart (goal R4).

    python3 bench/reliability/disk_full.py    # seconds; needs the right to mount a tmpfs

The server is target/release/gatherum, or --program, with a SQLite file on a tmpfs of 24 MB.
"""
import argparse
import asyncio
import json
import pathlib
import subprocess
import tempfile
import time

import server
from client import Client

QUERY = "{ artifacts(first: 5) { totalCount nodes { name collections { nodes { name } } } } }"


def mutation(name, content=""):
    values = f'type: "skill", name: "{name}", content: {json.dumps(content)}'
    return f"mutation {{ createArtifact(input: {{ {values} }}) {{ artifact {{ name }} }} }}"


async def measure(target, folder, report):
    client = Client(target.port)
    ballast = pathlib.Path(folder) / "ballast"
    acknowledged = 0
    for n in range(5):
        acknowledged += (await client.graphql(mutation(f"before {n}"))).status == 200
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4_096)
        except OSError:
            pass  # Full.
    writes, reads = [], []
    for n in range(40):
        writes.append(await client.graphql(mutation(f"full {n}", "x" * 60_000)))
        reads.append(await client.graphql(QUERY))
    acknowledged += sum(r.status == 200 and not r.code for r in writes)
    failed = [r for r in writes if r.status != 200 or r.code]
    found = {(r.status, r.code, r.has_retry_after) for r in failed}
    report.add("statuses and codes of failed writes", found, "507 STORAGE_FULL", found == {(507, "STORAGE_FULL", True)})
    report.add(f"failed reads of {len(reads)}", sum(r.status != 200 for r in reads), 0, all(r.status == 200 for r in reads))
    ready = await client.get("/health/ready")
    report.add("readiness", ready.status, 200, ready.status == 200)
    ballast.unlink()
    begun = time.perf_counter()
    while (await client.graphql(mutation(f"after {time.time_ns()}"))).status != 200 and time.perf_counter() - begun < 10:
        await asyncio.sleep(0.1)
    took = time.perf_counter() - begun
    report.add("writes work again after", f"{took:.1f} s", "<= 10 s", took < 10)
    status, _, answer = await client.exchange("POST", "/graphql", json.dumps({"query": QUERY}).encode(),
                                              {"content-type": "application/json"})
    count = json.loads(answer)["data"]["artifacts"]["totalCount"] if status == 200 else -1
    report.add("stored artifacts", count, acknowledged + 101, count == acknowledged + 101)
    client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=server.RELEASE)
    args = parser.parse_args()
    report = server.Report("full disk")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as logs:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
        try:
            url = f"sqlite://{folder}/catalogue.db"
            server.import_catalogue(args.program, url, 100)
            with server.Server(args.program, url, logs, LOG_LEVEL="warn") as target:
                asyncio.run(measure(target, folder, report))
        finally:
            subprocess.run(["umount", folder], check=True)
    raise SystemExit(0 if report.end() else 1)


if __name__ == "__main__":
    main()
