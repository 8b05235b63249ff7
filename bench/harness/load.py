"""Load by wrk, in rounds that go from target to target, so that other load of the machine affects all of them."""
import json
import os
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import proc

SCRIPT = Path(__file__).with_name("wrk.lua")

# The share of the processors' time that others may have had in a round.
STOLEN_MAX = 0.02


@dataclass(frozen=True)
class Pace:
    """Duration and number of measurements."""

    warm_up_s: int
    window_s: int
    rounds: int


def window(target, query, connections, seconds):
    """One target under load for some seconds: the results of wrk, and the CPU time of the server and of its database."""
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
    """The medians of each target over rounds A, B, C, A, B, C, …

    On a virtual machine a round in which others had too much of its processors is measured again, a limited number of times;
    those in which they had least count.
    """
    for target in targets:
        window(target, query, connections, pace.warm_up_s)
    rounds = []
    while len(rounds) < 2 * pace.rounds and sum(stolen <= STOLEN_MAX for stolen, _ in rounds) < pace.rounds:
        before = proc.machine_times()
        windows = {target: window(target, query, connections, pace.window_s) for target in targets}
        rounds.append((proc.stolen_share(before, proc.machine_times()), windows))
    rounds.sort(key=lambda measured: measured[0])
    quietest = [windows for _, windows in rounds[:pace.rounds]]
    return {
        target: {figure: statistics.median(windows[target][figure] for windows in quietest)
                 for figure in quietest[0][target]}
        for target in targets
    }
