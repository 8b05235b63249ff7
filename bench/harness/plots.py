"""Draws results.json as SVG: `plots.py results.json FOLDER`, in the environment that has matplotlib."""
import json
import sys
from collections import defaultdict
from pathlib import Path

import matplotlib
from matplotlib import pyplot

matplotlib.use("svg")
# The same figures give the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "gatherum", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3,
                            "axes.axisbelow": True, "figure.constrained_layout.use": True})

COLORS = {"gatherum": "#1f5fbf", "floor": "#808080", "mercurius": "#d98c1f", "yoga": "#b3469c", "postgraphile": "#2f9e6e",
          "strawberry": "#c9413a"}
DASHES = {"SQLite": "--", "PostgreSQL": "-"}


def style(target):
    name, _, database = target.partition(" ")
    return {"color": COLORS[name], "linestyle": DASHES.get(database, "-"), "marker": "o", "markersize": 3, "label": target}


def save(figure, folder, name):
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


def bars(results, folder, name, title, value):
    """A bar for each server on each query at 16 connections with maintained counts, a panel for each database."""
    rows = [row for row in results["load"] if row["connections"] == 16 and row["counts"] == "kept"
            and not row["query"].endswith("edges")]
    figure, panels = pyplot.subplots(1, 2, figsize=(10, 3.6), width_ratios=(3, 1.4))
    for panel, database in zip(panels, ("PostgreSQL", "SQLite")):
        here = [row for row in rows if row["database"] == database]
        queries = list(dict.fromkeys(row["query"] for row in here))
        targets = list(dict.fromkeys(row["target"] for row in here))
        cells = {(row["target"], row["query"]): value(row) for row in here}
        width = 0.8 / len(targets)
        for place, target in enumerate(targets):
            server = target.split()[0]
            panel.bar([query + place * width for query in range(len(queries))], [cells[target, query] for query in queries],
                      width, color=COLORS[server], label=server)
        panel.set_xticks([query + 0.4 - width / 2 for query in range(len(queries))], [query.upper() for query in queries])
        panel.set_yscale("log")
        panel.set_title(database)
        panel.legend(fontsize=7)
    figure.suptitle(title)
    save(figure, folder, name)


def lines(results, folder, name, key, place, value, labels, split=None, logs="xy"):
    """A line for each server, a panel for each value of `split`."""
    panels_of = defaultdict(lambda: defaultdict(list))
    for row in results[key]:
        panels_of[row[split] if split else None][row["target"]].append((row[place], row[value]))
    figure, panels = pyplot.subplots(1, len(panels_of), figsize=(5.2 * len(panels_of), 3.4), squeeze=False, sharey=True)
    for panel, (title, targets) in zip(panels[0], panels_of.items()):
        for target, points in targets.items():
            panel.plot(*zip(*points), **style(target))
        if "x" in logs:
            panel.set_xscale("log")
        if "y" in logs:
            panel.set_yscale("log")
        panel.set_xlabel(labels[0])
        panel.set_ylabel(labels[1])
        panel.set_title(title and f"{title} page")
        panel.legend(fontsize=7)
    save(figure, folder, name)


def connections(results, folder):
    figure, panels = pyplot.subplots(1, 2, figsize=(10.4, 3.4))
    for panel, value, label in zip(panels, ("throughput", "p95_ms"), ("requests/s", "p95, ms")):
        points = defaultdict(list)
        for row in results["growing_connections"]:
            points[row["target"]].append((row["connections"], row[value]))
        for target, line in points.items():
            panel.plot(*zip(*line), **style(target))
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xlabel("connections")
        panel.set_ylabel(label)
        panel.legend(fontsize=7)
    save(figure, folder, "connections")


def main(file, folder):
    results, folder = json.loads(Path(file).read_text()), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bars(results, folder, "throughput", "Requests per second, 16 connections, maintained counts", lambda row: row["throughput"])
    bars(results, folder, "cpu", "CPU time of a request in µs, server and database, 16 connections, maintained counts",
         lambda row: row["server_cpu_us"] + row["database_cpu_us"])
    if "rows" in results:
        lines(results, folder, "rows", "rows", "first", "p50_ms", ("artifacts asked for", "p50, ms"))
        lines(results, folder, "depth", "depth", "depth", "p50_ms", ("relationships below each other", "p50, ms"), logs="y")
        lines(results, folder, "members", "members", "members", "p50_ms", ("members of the collection", "p50, ms"), "page",
              logs="x")
        connections(results, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
