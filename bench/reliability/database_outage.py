#!/usr/bin/env python3
"""Measures requests while PostgreSQL is down, frozen, locked or restarted (goals R5 and R6).

    python3 bench/reliability/database_outage.py            # two minutes
    python3 bench/reliability/database_outage.py --short    # half a minute; checks statuses and codes, no times

The server is target/release/gatherum, or --program. It uses a PostgreSQL server that this command creates in a temporary
folder, so initdb and pg_ctl must be installed. Eight clients send queries and mutations throughout.
"""
import argparse
import asyncio
import dataclasses
import tempfile
import time

import server
from client import Client
from postgres import Postgres, program

QUERY = "{ artifacts(first: 5) { nodes { name collections { nodes { name } } } } }"
WORKERS = 8


def mutation(name):
    return f'mutation {{ createArtifact(input: {{ type: "skill", name: "{name}" }}) {{ artifact {{ name }} }} }}'


async def work(client, number, stop, responses):
    """Sends queries, and a mutation from time to time."""
    count = 0
    while not stop.is_set():
        count += 1
        is_mutation = count % 5 == 0
        query = mutation(f"{time.time_ns()}-{number}") if is_mutation else QUERY
        accept = ("application/json", "application/graphql-response+json")[count % 2]
        response = await client.graphql(query, accept=accept)
        # A mutation whose write was committed before the outage reports that its payload cannot be read.
        is_committed = is_mutation and (response.status, response.code) == (200, "UNAVAILABLE")
        responses.append(dataclasses.replace(response, code="") if is_committed else response)
        await asyncio.sleep(0.02)


async def watch(client, path, stop, responses):
    while not stop.is_set():
        responses.append(await client.get(path))
        await asyncio.sleep(0.1)


class Outage:
    """Clients that work during an outage, and the observations."""

    def __init__(self, port):
        self.port, self.responses, self.ready, self.live = port, [], [], []
        self.begun = self.ended = 0.0

    async def run(self, begin, end, seconds, before=1.5, after=5.0):
        clients, stop = [Client(self.port) for _ in range(WORKERS + 2)], asyncio.Event()
        tasks = [asyncio.create_task(work(client, n, stop, self.responses)) for n, client in enumerate(clients[2:])]
        tasks.append(asyncio.create_task(watch(clients[0], "/health/ready", stop, self.ready)))
        tasks.append(asyncio.create_task(watch(clients[1], "/health/live", stop, self.live)))
        await asyncio.sleep(before)
        self.begun = time.perf_counter()
        await asyncio.to_thread(begin)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(end)
        self.ended = time.perf_counter()
        await asyncio.sleep(after)
        stop.set()
        await asyncio.gather(*tasks)
        for client in clients:
            client.close()
        return self

    def failures(self):
        return [r for r in self.responses if r.status != 200 or r.code]

    def report(self, report, name, longest_s, is_ready_throughout, is_short):
        failures, total = self.failures(), len(self.responses)
        wrong = [r for r in failures if not (r.status == 503 and r.code == "UNAVAILABLE" and r.has_retry_after)]
        found = ", ".join(sorted({f"{r.status} {r.code}" for r in wrong})) or "none"
        report.add(f"{name}: failures of {total} other than 503 UNAVAILABLE with Retry-After", found, "none", not wrong)
        dead = [r for r in self.live if r.status != 200]
        report.add(f"{name}: failed liveness checks of {len(self.live)}", len(dead), 0, not dead)
        turned = [r for r in self.ready if r.status == 503]
        if is_ready_throughout:
            report.add(f"{name}: readiness checks with 503", len(turned), 0, not turned)
        else:
            delay = turned[0].start + turned[0].seconds - self.begun if turned else float("inf")
            report.add(f"{name}: readiness turns 503 after", f"{delay:.2f} s", "<= 3 s", bool(turned) and (is_short or delay <= 3))
        last = self.responses[-1]
        report.add(f"{name}: last response", last.status, 200, last.status == 200 and self.ready[-1].status == 200)
        if is_short:
            return
        longest = max((r.seconds for r in self.responses), default=0)
        report.add(f"{name}: longest request", f"{longest:.2f} s", f"<= {longest_s} s", longest <= longest_s)
        late = max((r.start + r.seconds - self.ended for r in failures), default=0)
        report.add(f"{name}: last failure after the end", f"{max(late, 0):.2f} s", "<= 2 s", late <= 2)


async def measure(postgres, target, report, is_short):
    def add(outage, name, longest_s, is_ready_throughout=False):
        outage.report(report, name, longest_s, is_ready_throughout, is_short)

    def expect_warnings(name, count, before):
        found = target.warnings()[before:]
        changes = [message for message in found if message.startswith("the database answers again")
                   or message.startswith("the database does not answer")]
        others = [message for message in found if message not in changes and message != "slow_query"]
        report.add(f"{name}: warnings of the outage, and others", f"{len(changes)}, {sorted(set(others)) or 'none'}",
                   f"{count}, none", len(changes) == count and not others)

    seconds = 3 if is_short else 10
    before = len(target.warnings())
    add(await Outage(target.port).run(postgres.crash, postgres.start, seconds), "down", 2)
    expect_warnings("down", 2, before)
    before = len(target.warnings())
    add(await Outage(target.port).run(postgres.freeze, postgres.thaw, seconds + 2), "frozen", 5)
    expect_warnings("frozen", 2, before)
    sessions = []

    def lock():
        sessions.append(postgres.psql("begin", "lock table artifacts in access exclusive mode", "select pg_sleep(60)"))

    def unlock():
        sessions[-1].kill()
        sessions[-1].wait()
        postgres.psql("select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' "
                      "and pid <> pg_backend_pid()").wait()

    add(await Outage(target.port).run(lock, unlock, seconds), "locked", 5, is_ready_throughout=True)
    if is_short:
        return

    def restart():
        for _ in range(3):
            postgres.crash()
            postgres.start()

    add(await Outage(target.port).run(restart, lambda: None, 0), "restarted three times", 2, False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--program", default=server.RELEASE)
    args = parser.parse_args()
    if not program("initdb") or not program("pg_ctl"):
        raise SystemExit("initdb and pg_ctl of PostgreSQL are needed")
    report = server.Report("database outage")
    with tempfile.TemporaryDirectory() as folder, Postgres(folder) as postgres:
        postgres.start()
        server.import_catalogue(args.program, postgres.url, 500)
        with server.Server(args.program, postgres.url, folder, LOG_LEVEL="warn") as target:
            asyncio.run(measure(postgres, target, report, args.short))
    raise SystemExit(0 if report.end() else 1)


if __name__ == "__main__":
    main()
