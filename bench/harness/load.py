"""Load by wrk, in rounds that go from target to target, so that whatever else the machine does meets all of them."""
import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import proc

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Pace:
    """How long and how often is measured."""

    warm_up_s: int
    window_s: int
    rounds: int


def window(target, query, connections, seconds):
    """One target under load for some seconds: what wrk saw, and the CPU time of the server and of its database."""
    url, body = target.request(query)
    server_before, database_before = target.cpu_times()
    done = subprocess.run(
        ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s",
         "--script", str(SCRIPT), url],
        env={**os.environ, "BODY": body.decode()}, check=True, capture_output=True, text=True,
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["errors"]:
        raise RuntimeError(f"{target.name}: {seen['errors']} of {seen['requests']} requests failed")
    requests = max(seen["requests"], 1)
    server_after, database_after = target.cpu_times()
    return {
        "throughput": requests / seen["seconds"],
        "p50_ms": seen["p50_ms"],
        "p95_ms": seen["p95_ms"],
        "p99_ms": seen["p99_ms"],
        "server_cpu_us": proc.cpu_seconds(server_before, server_after) / requests * 1e6,
        "database_cpu_us": proc.cpu_seconds(database_before, database_after) / requests * 1e6,
    }


def interleaved(targets, query, connections, pace):
    """The medians of each target over rounds A, B, C, A, B, C, …"""
    windows = {target: [] for target in targets}
    for target in targets:
        window(target, query, connections, pace.warm_up_s)
    for _ in range(pace.rounds):
        for target in targets:
            windows[target].append(window(target, query, connections, pace.window_s))
    return {
        target: {figure: statistics.median(seen[figure] for seen in rounds) for figure in rounds[0]}
        for target, rounds in windows.items()
    }
