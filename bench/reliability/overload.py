#!/usr/bin/env python3
"""Measures a server at four times its capacity (goal R8), and with clients that do not read their responses.

    python3 bench/reliability/overload.py                # a minute; needs a machine without other load
    python3 bench/reliability/overload.py --short        # seconds; checks statuses and codes, no times
    python3 bench/reliability/overload.py --database postgres://…/empty_database

The server is target/release/gatherum, or --program. Capacity is the throughput of 8 clients that wait for their responses.
Then requests are sent at four times that rate, whether or not responses arrive. A response counts as good if it arrives
within a second.
"""
import argparse
import asyncio
import collections
import tempfile
import time

import server
import unread_responses
from client import Client, quantile

# About 20 ms with 40,000 artifacts: the word is in the name of each.
ARTIFACTS = 40_000
EXPENSIVE = '{ artifacts(first: 1, filter: { search: "artifact" }) { totalCount nodes { name } } }'
# Reads one row.
CHEAP = "{ artifacts(first: 1) { nodes { name } } }"
GOOD_S = 1.0
CLIENTS = 8


async def repeat(client, query, seconds):
    """Sends a query over and over."""
    end, responses = time.perf_counter() + seconds, []
    while time.perf_counter() < end:
        responses.append(await client.graphql(query))
    return responses


async def closed_loop(client, query, seconds, clients=CLIENTS):
    """Clients that each wait for their response."""
    return sum(await asyncio.gather(*(repeat(client, query, seconds) for _ in range(clients))), [])


async def open_loop(client, query, rate, seconds):
    """Sends `rate` requests per second, whether or not responses arrive."""
    start, sent = time.perf_counter(), []
    while (now := time.perf_counter() - start) < seconds:
        while len(sent) < now * rate:
            sent.append(asyncio.create_task(client.graphql(query)))
        await asyncio.sleep(0.002)
    return await asyncio.gather(*sent)


async def probe(client, ask, interval, stop):
    """Sends a request at an interval until stopped."""
    responses = []
    while not stop.is_set():
        responses.append(await ask())
        await asyncio.sleep(interval)
    return responses


def goodput(responses, seconds):
    return sum(r.status == 200 and not r.code and r.seconds <= GOOD_S for r in responses) / seconds


def report_memory(target, report, name):
    """Without the pages of the SQLite file, which each connection maps, but which the system keeps once and can discard."""
    memory = target.memory_mb("VmHWM") - target.memory_mb("RssFile")
    report.add(f"{name}: memory at most", f"{memory:.0f} MB", "256 MB", memory <= 256)
    report.add(f"{name}: and pages of files, each counted for every connection", f"{target.memory_mb('RssFile'):.0f} MB", "reported", True)


async def overload(target, report, seconds, is_short):
    client, probes = Client(target.port), Client(target.port)
    alone = await repeat(client, EXPENSIVE, 1)
    if any(r.status != 200 or r.code for r in alone):
        raise SystemExit(f"the query fails: {alone[0]}")
    peak = await closed_loop(client, EXPENSIVE, seconds)
    capacity = goodput(peak, seconds)
    stop = asyncio.Event()
    live = asyncio.create_task(probe(probes, lambda: probes.get("/health/live"), 0.1, stop))
    ready = asyncio.create_task(probe(probes, lambda: probes.get("/health/ready"), 0.1, stop))
    cheap = asyncio.create_task(probe(probes, lambda: probes.graphql(CHEAP), 0.2, stop))
    responses = await open_loop(client, EXPENSIVE, 4 * capacity, seconds)
    stop.set()
    live, ready, cheap = await live, await ready, await cheap
    recovered = await repeat(client, EXPENSIVE, 1)
    statuses = collections.Counter((r.status, r.code) for r in responses)
    rejected = [r for r in responses if r.status == 503]
    print(f"query alone: {quantile([r.seconds for r in alone], 0.5) * 1e3:.1f} ms; capacity {capacity:.0f}/s; {dict(statuses)}")

    others = [r for r in responses if not (r.status == 200 and not r.code) and not (r.status == 503 and r.has_retry_after)]
    report.add("responses other than 200 and 503 with Retry-After", len(others), 0, not others)
    codes = {r.code for r in rejected}
    report.add("codes of rejections", ", ".join(sorted(codes)) or "none", "OVERLOADED", codes <= {"OVERLOADED", "UNAVAILABLE"})
    failed = [r for r in live + ready if r.status != 200]
    report.add(f"failed health checks of {len(live + ready)}", len(failed), 0, not failed)
    failed = [r for r in cheap if r.status != 200]
    report.add(f"rejected cheap queries of {len(cheap)}", len(failed), "reported" if is_short else 0, not failed or is_short)
    report_memory(target, report, "overload")
    if not is_short:
        ratio = goodput(responses, seconds) / capacity
        report.add("goodput within 1 s, of the capacity", f"{ratio:.2f}", ">= 0.9", ratio >= 0.9)
        for fraction in (0.5, 0.99):
            took = quantile([r.seconds for r in rejected], fraction) * 1e3
            goal = "<= 20 ms" if fraction == 0.5 else "reported"
            report.add(f"time until a rejection, p{fraction * 100:.0f}", f"{took:.1f} ms", goal, fraction != 0.5 or took <= 20)
        took = quantile([r.seconds for r in cheap], 0.99) * 1e3
        report.add("cheap query, p99", f"{took:.0f} ms", "<= 1000 ms", took <= 1_000)
        took = quantile([r.seconds for r in live + ready], 0.99) * 1e3
        report.add("health check, p99", f"{took:.0f} ms", "<= 1000 ms", took <= 1_000)
        failed = [r for r in recovered if r.status != 200]
        report.add("failures in the second after", len(failed), 0, not failed)
    client.close()
    probes.close()


async def unread(target, report, is_short):
    """Four HTTP/2 connections that request 480 responses and read none."""
    client = Client(target.port)
    first = await client.graphql(CHEAP)
    if first.status != 200 or first.code:
        raise SystemExit(f"the query fails: {first}")
    size, hogs = await asyncio.to_thread(unread_responses.start, target.port, 4, 120)
    others = await repeat(client, CHEAP, 1 if is_short else 5)
    failed = [r for r in others if r.status != 200]
    report.add(f"480 unread responses of {size // 1000} kB: failures of {len(others)} others", len(failed), 0, not failed)
    report_memory(target, report, "480 unread responses")
    for hog in hogs:
        hog.close()
    client.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--program", default=server.RELEASE)
    parser.add_argument("--database", help="an empty database; default: a new SQLite file")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--only", choices=("overload", "unread"))
    args = parser.parse_args()
    report = server.Report("overload")
    with tempfile.TemporaryDirectory() as folder:
        if args.only != "unread":
            url = args.database or f"sqlite://{folder}/catalogue.db"
            server.import_catalogue(args.program, url, 2_000 if args.short else ARTIFACTS)
            with server.Server(args.program, url, folder, LOG_LEVEL="warn") as target:
                asyncio.run(overload(target, report, 1 if args.short else args.seconds, args.short))
        if args.only != "overload":
            url = f"sqlite://{folder}/contents.db"
            server.import_catalogue(args.program, url, 200, content_bytes=7_600)
            with server.Server(args.program, url, folder, LOG_LEVEL="warn") as target:
                asyncio.run(unread(target, report, args.short))
    raise SystemExit(0 if report.end() else 1)


if __name__ == "__main__":
    main()
