#!/usr/bin/env python3
"""Builds, loads, checks, measures and reports: the whole benchmark as one command.

    python3 bench/run.py --quick    # within 5 minutes: dataset M, 16 connections, maintained counts
    python3 bench/run.py            # within 45 minutes on an idle machine: everything in bench/RESULTS.md
    python3 bench/run.py --report   # RESULTS.md and plots again from bench/results.json

Times are without building and loading, which happen once. Needed: Linux, Rust, Python 3.11 or newer, npm, wrk,
and a PostgreSQL server with its psql, at $BENCH_POSTGRES or postgres://postgres@127.0.0.1:5432.
"""
import argparse
import json
import os
import statistics
from pathlib import Path

from harness import prepare, proc, report
from harness.load import Pace, interleaved, window
from harness.queries import Query, document, from_postgraphile, nested, with_uuids
from harness.statements import Proxy
from harness.targets import PEERS, Floor, Gatherum, Peer

BENCH = Path(__file__).resolve().parent
RESULTS = BENCH / "results.json"
CONNECTIONS = (1, 16, 64)
STARTS = 5
# Queries with names that the peers answer too.
COMMON = ("q1", "q2", "q3", "q4")
# The same with edges, cursors, totals and page info.
EDGES = ("q1_edges", "q2_edges")


def say(text):
    print(text, flush=True)


def queries(data, names):
    """The documents; their collection is the one of M with about 1,000 members."""
    return [document(name, id=data.collection_near(1_000)) if name.startswith("q2") else document(name) for name in names]


def own(data, counts):
    """gatherum and the floor, on both databases."""
    return [kind(f"{name} {database}", data.url(database), counts)
            for database in ("PostgreSQL", "SQLite") for name, kind in (("gatherum", Gatherum), ("floor", Floor))]


def peers(data, counts):
    return [Peer(name, data.url("PostgreSQL"), counts) for name in PEERS]


class Started:
    """Runs servers during a block."""

    def __init__(self, targets):
        self.targets = targets

    def __enter__(self):
        for target in self.targets:
            target.start()
        return self.targets

    def __exit__(self, *_):
        for target in self.targets:
            if target.process:
                target.stop()


def comparable(target, query):
    data = target.data(query)
    if isinstance(target, Peer):
        return from_postgraphile(data) if target.name == "postgraphile" else data
    return with_uuids(data)


def check_answers(targets, names, data):
    """Checks that all targets return the same response: the floor the same bytes, a peer the same data."""
    for query in queries(data, names):
        expected = None
        for target in targets:
            if isinstance(target, Peer) and query.name in EDGES:
                continue
            answer = target.answer(query) if isinstance(target, (Gatherum, Floor)) else None
            if expected is None:
                expected, expected_data = answer, comparable(target, query)
            if answer is not None and answer != expected:
                raise SystemExit(f"{target.name} answers {query.name} in other bytes than {targets[0].name}")
            if answer is None and comparable(target, query) != expected_data:
                raise SystemExit(f"{target.name} answers {query.name} with other data than {targets[0].name}")


def count_statements(data):
    """Statements of one request, counted by a proxy in front of PostgreSQL, and on SQLite as gatherum reports them."""
    counted = {}
    proxy = Proxy(data.url("PostgreSQL"))
    for target in own(data, "kept") + peers(data, "kept"):
        if target.name == "floor SQLite":
            continue
        if target.url == data.url("PostgreSQL"):
            target.url = proxy.url
        target.extra_env = {"WORKERS": "1"}
        with Started([target]):
            for query in queries(data, COMMON if isinstance(target, Peer) else COMMON + EDGES):
                target.answer(query)
                if target.name == "gatherum SQLite":
                    counted[target.name, query.name] = target.report(query)["statements"]
                else:
                    counted[target.name, query.name] = proxy.count(lambda: target.answer(query))
    return [{"target": target, "query": query, "statements": n} for (target, query), n in counted.items()]


def measure_starts(data):
    """Time from the start of a process to its first response, of a query with three statements."""
    rows = []
    for target in own(data, "kept") + peers(data, "kept"):
        times = []
        for _ in range(STARTS):
            times.append(target.start() * 1e3)
            target.stop()
        rows.append({"target": target.name, "ms": statistics.median(times)})
    return rows


def measure_load(data, quick, pace):
    """Throughput, latency and CPU time of every target on every query, and memory afterwards."""
    rows, memory = [], []
    for counts in ("kept",) if quick else ("kept", "live"):
        for database in ("PostgreSQL", "SQLite"):
            targets = [target for target in own(data, counts) if target.name.endswith(database)]
            targets += peers(data, counts) if database == "PostgreSQL" else []
            with Started(targets):
                check_answers(targets, COMMON + EDGES, data)
                for query in queries(data, COMMON + EDGES):
                    alike = [target for target in targets if query.name in COMMON or not isinstance(target, Peer)]
                    is_side = quick or counts == "live"
                    for connections in (16,) if is_side else CONNECTIONS:
                        say(f"{database}, {counts} counts, {query.name}, {connections} connections")
                        for target, figures in interleaved(alike, query, connections, pace).items():
                            rows.append({"database": database, "counts": counts, "query": query.name,
                                         "connections": connections, "target": target.name, **figures})
                check_answers(targets, COMMON + EDGES, data)
                if counts == "kept":
                    memory += [{"target": target.name, **proc.memory_mb(target.pids())} for target in targets]
    return rows, memory


def grow_rows(data, pace):
    """The first query with more and more rows."""
    targets = own(data, "kept")
    limits = {"GATHERUM_LIMITS_PAGE_SIZE_MAX": "500", "GATHERUM_LIMITS_OBJECTS": "100000"}
    rows = []
    for target in targets:
        target.extra_env = limits
    with Started(targets):
        for first in (1, 5, 10, 50, 100, 200, 350, 500):
            query = document("q1", first=first)
            statements = {target: target.report(query)["statements"] for target in targets if isinstance(target, Gatherum)}
            for target, figures in interleaved(targets, query, 1, pace).items():
                rows.append({"target": target.name, "first": first, "statements": statements.get(target), **figures})
    return rows


def grow_depth(data, pace):
    """More and more relationships below each other."""
    rows = []
    with Started([target for target in own(data, "kept") if isinstance(target, Gatherum)]) as targets:
        for depth in range(1, 7):
            query = nested(depth)
            reports = {target: target.report(query) for target in targets}
            for target, figures in interleaved(targets, query, 1, pace).items():
                rows.append({"target": target.name, "depth": depth, "statements": reports[target]["statements"],
                             "rows": reports[target]["rows"], **figures})
    return rows


def grow_members(data, pace):
    """A page of larger and larger collections, the first one and one from the middle."""
    rows = []
    with Started(own(data, "kept")) as targets:
        for wanted in (100, 1_000, 10_000, 100_000, 1_000_000):
            collection, members = data.collection_near(wanted), data.members_near(wanted)
            pages = {"first": None, "middle": data.cursor(wanted, members // 2 - 50)}
            for page, after in pages.items():
                query = document("q2_edges", id=collection, **({"after": after} if after else {}))
                check_same(targets, query)
                for target, figures in interleaved(targets, query, 1, pace).items():
                    rows.append({"target": target.name, "members": members, "page": page, **figures})
    return rows


def check_same(targets, query):
    answers = {target.answer(query) for target in targets}
    if len(answers) != 1 or b'"edges":[]' in answers.pop():
        raise SystemExit(f"{query.name} {query.variables} is answered in several ways, or without rows")


def grow_connections(data, pace):
    """The first query for more and more clients at once."""
    rows = []
    with Started(own(data, "kept")) as targets:
        for connections in (1, 2, 4, 8, 16, 32, 64, 128):
            for target, figures in interleaved(targets, document("q1"), connections, pace).items():
                rows.append({"target": target.name, "connections": connections, **figures})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="within 5 minutes; prints to .work/quick.md")
    parser.add_argument("--report", action="store_true", help="do not measure; write the report anew")
    args = parser.parse_args()
    if args.report:
        report.write(json.loads(RESULTS.read_text()), BENCH / "RESULTS.md", BENCH / "plots")
        return

    prepare.build()
    data = prepare.load("M")
    results = {"quick": args.quick, "hardware": proc.hardware(), "versions": prepare.versions()}
    say("statements and cold starts")
    results["statements"] = count_statements(data)
    results["starts"] = measure_starts(data)
    pace = Pace(1, 1, 3) if args.quick else Pace(1, 2, 5)
    results["load"], results["memory"] = measure_load(data, args.quick, pace)
    if not args.quick:
        growth = Pace(1, 1, 5)
        say("growth with rows, depth, connections, members")
        results["rows"] = grow_rows(data, growth)
        results["depth"] = grow_depth(data, growth)
        results["growing_connections"] = grow_connections(data, growth)
        results["members"] = grow_members(prepare.load("L"), growth)
    if args.quick:
        report.write(results, BENCH / ".work" / "quick.md", BENCH / ".work" / "plots")
    else:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        report.write(results, BENCH / "RESULTS.md", BENCH / "plots")


if __name__ == "__main__":
    main()
