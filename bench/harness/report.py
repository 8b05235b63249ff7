"""Writes RESULTS.md from measurements. Sentences that interpret the figures are in docs/performance.md."""
import json
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

from .targets import PEERS, PYTHON, STRATEGY

DATABASES = ("PostgreSQL", "SQLite")
THROUGHPUT_MIN, P95_MAX, PEER_MIN = 0.85, 1.2, 5
MEMORY_MAX_MB, START_MAX_MS, PAGE_MAX = 150, 100, 1.5


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def number(value):
    """Three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def verdict(met):
    return "met" if met else "**missed**"


class Load:
    """The figures of a target, by database, counts, query and connections."""

    def __init__(self, rows):
        self.cells = defaultdict(dict)
        for row in rows:
            self.cells[row["database"], row["counts"], row["query"], row["connections"]][row["target"]] = row

    def ratios(self):
        """The ratios of gatherum to the floor, cell by cell."""
        for cell, targets in self.cells.items():
            gatherum, floor = targets[f"gatherum {cell[0]}"], targets[f"floor {cell[0]}"]
            yield cell, gatherum["throughput"] / floor["throughput"], gatherum["p95_ms"] / floor["p95_ms"]


def goals(results, load):
    """Each goal, its figure, and whether it is met."""
    main = list(load.ratios())
    rows = []
    for database in DATABASES:
        here = [entry for entry in main if entry[0][0] == database]
        slow = [entry for entry in here if entry[1] < THROUGHPUT_MIN]
        late = [entry for entry in here if entry[2] > P95_MAX]
        least, most = min(entry[1] for entry in here), max(entry[2] for entry in here)
        rows.append([f"throughput ≥ {THROUGHPUT_MIN} of the floor's, {database}",
                     f"{len(here) - len(slow)} of {len(here)} cells, least {least:.2f}", verdict(not slow)])
        rows.append([f"p95 ≤ {P95_MAX} of the floor's, {database}",
                     f"{len(here) - len(late)} of {len(here)} cells, most {most:.2f}", verdict(not late)])
    against = [(cell, targets["gatherum PostgreSQL"], targets[peer], peer)
               for cell, targets in load.cells.items() for peer in PEERS if peer in targets]
    ratio = lambda figure, entry: entry[1][figure] / entry[2][figure]
    worst = min(against, key=lambda entry: ratio("throughput", entry))
    rows.append(["never below the best peer", f"least {ratio('throughput', worst):.1f} × ({worst[3]}, {shown(worst[0])})",
                 verdict(ratio("throughput", worst) >= 1)])
    kept = [entry for entry in against if entry[0][1] == "kept"]
    worst = max(kept, key=lambda entry: ratio("server_cpu_us", entry))
    rows.append([f"≥ {PEER_MIN} × every peer if the database is not the limit: CPU time of the server",
                 f"least {1 / ratio('server_cpu_us', worst):.1f} × ({worst[3]}, {shown(worst[0])})",
                 verdict(1 / ratio("server_cpu_us", worst) >= PEER_MIN)])
    worst = min(kept, key=lambda entry: ratio("throughput", entry))
    rows.append([f"≥ {PEER_MIN} × every peer: throughput, on the same machine as the database",
                 f"least {ratio('throughput', worst):.1f} × ({worst[3]}, {shown(worst[0])})",
                 verdict(ratio("throughput", worst) >= PEER_MIN)])
    for row in results["memory"]:
        if row["target"].startswith("gatherum"):
            rows.append([f"memory ≤ {MEMORY_MAX_MB} MB under load, {row['target'].split()[1]}",
                         f"{row['total']:.0f} MB, of which {row['own']:.0f} without files",
                         verdict(row["total"] <= MEMORY_MAX_MB)])
    for row in results["starts"]:
        if row["target"].startswith("gatherum"):
            rows.append([f"first response < {START_MAX_MS} ms after the start, {row['target'].split()[1]}",
                         f"{row['ms']:.0f} ms", verdict(row["ms"] < START_MAX_MS)])
    for target in (f"gatherum {database}" for database in DATABASES):
        pages = {(row["members"], row["page"]): row["p50_ms"] for row in results.get("members", ()) if row["target"] == target}
        if pages:
            small, large = min(pages)[0], max(pages)[0]
            for page in ("first", "middle"):
                ratio_ = pages[large, page] / pages[small, "first"]
                rows.append([f"{page} page of {large:,} members ≤ {PAGE_MAX} × the first of {small}, {target.split()[1]}",
                             f"{ratio_:.2f} ×", verdict(ratio_ <= PAGE_MAX)])
    return table(["goal", "figure", ""], rows)


def shown(cell):
    return f"{cell[2].upper()}, {STRATEGY[cell[1]]} counts, {cell[3]} connections"


def load_tables(load):
    parts = []
    groups = defaultdict(list)
    for cell in load.cells:
        groups[cell[0], cell[1]].append(cell)
    for (database, counts), cells in groups.items():
        rows = []
        for cell in cells:
            targets = load.cells[cell]
            floor = targets[f"floor {database}"]
            for name, row in targets.items():
                rows.append([cell[2], cell[3], name.removesuffix(f" {database}"), number(row["throughput"]),
                             f"{row['throughput'] / floor['throughput']:.2f}", number(row["p50_ms"]),
                             number(row["p95_ms"]), number(row["p99_ms"]), f"{row['p95_ms'] / floor['p95_ms']:.2f}",
                             f"{row['server_cpu_us']:,.0f}", f"{row['database_cpu_us']:,.0f}"])
        header = ["query", "connections", "server", "requests/s", "of floor", "p50 ms", "p95 ms", "p99 ms", "p95 of floor",
                  "CPU µs/request", "of database"]
        parts.append(f"### {database}, {STRATEGY[counts]} counts\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def statements(results):
    queries = list(dict.fromkeys(row["query"] for row in results["statements"]))
    counted = {(row["target"], row["query"]): row["statements"] for row in results["statements"]}
    targets = dict.fromkeys(row["target"] for row in results["statements"])
    return table(["server", *queries], [[target, *(counted.get((target, query), "") for query in queries)] for target in targets])


def starts_and_memory(results):
    memory = {row["target"]: row for row in results["memory"]}
    rows = [[row["target"], number(row["ms"]),
             *((f"{memory[row['target']]['total']:.0f}", f"{memory[row['target']]['own']:.0f}") if row["target"] in memory else ("", ""))]
            for row in results["starts"]]
    return table(["server", "first response, ms", "memory, MB", "of which without files, MB"], rows)


def growth(results, key, column, more=()):
    targets = list(dict.fromkeys(row["target"] for row in results[key]))
    places = list(dict.fromkeys(row[column] if isinstance(column, str) else tuple(row[part] for part in column) for row in results[key]))
    of = lambda row: row[column] if isinstance(column, str) else tuple(row[part] for part in column)
    cells = {(of(row), row["target"]): row for row in results[key]}
    rows = []
    for place in places:
        first = next(cells[place, target] for target in targets if (place, target) in cells)
        label = place if isinstance(place, tuple) else (place,)
        rows.append([*(f"{part:,}" if isinstance(part, int) else part for part in label), *(first.get(name) for name in more),
                     *(number(cells[place, target]["p50_ms"]) for target in targets)])
    names = [column] if isinstance(column, str) else list(column)
    return table([*names, *more, *(f"{target}, ms" for target in targets)], rows)


def growing_connections(results):
    rows = [[row["connections"], row["target"], number(row["throughput"]), number(row["p50_ms"]), number(row["p95_ms"]),
             number(row["p99_ms"])] for row in results["growing_connections"]]
    return table(["connections", "server", "requests/s", "p50 ms", "p95 ms", "p99 ms"], rows)


def draw(results, folder):
    """Draws the plots with the Python that has matplotlib."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(results, file)
        file.flush()
        subprocess.run([PYTHON / "python", Path(__file__).with_name("plots.py"), file.name, folder], check=True)


def write(results, path, plot_folder):
    """Writes RESULTS.md and its plots."""
    load = Load(results["load"])
    draw(results, plot_folder)
    image = lambda name: f"![{name}]({plot_folder.name}/{name}.svg)"
    parts = [f"""# Results

{results['hardware']}; servers, databases and load generator on the same machine.
{', '.join(f'{name} {version}' for name, version in results['versions'].items())}.

Generated by `python3 bench/run.py{' --quick' if results['quick'] else ''}`. Each figure is the median over interleaved rounds.
[docs/performance.md](../docs/performance.md) interprets them and describes where the time goes.

## Goals

{goals(results, load)}

## Queries

The documents are in [queries](queries). `_edges` are those with edges, cursors, totals and page info. All servers return
the same response before and after the measurement: the floor the same bytes, the peers the same data.

Statements of one request, counted by a proxy in front of PostgreSQL; on SQLite as gatherum reports them:

{statements(results)}

## Load

{image('throughput')}

{image('cpu')}

{load_tables(load)}

## Start and memory

The first response is of a query with three statements, on dataset M. Memory is the sum over a server's processes, after all
load with maintained counts. Pages of a mapped file count as memory: on SQLite that is the database.

{starts_and_memory(results)}"""]
    if "rows" in results:
        parts.append(f"""## Growth

Median latency with one connection, maintained counts.

### With rows

The first query, `first` artifacts with their collections.

{image('rows')}

{growth(results, 'rows', 'first', ['statements'])}

### With depth

Two objects per relationship below ten artifacts.

{image('depth')}

{growth(results, 'depth', 'depth', ['statements', 'rows'])}

### With the members of a collection

Dataset L; 100 edges with cursors and the total, from the start and from the middle.

{image('members')}

{growth(results, 'members', ('members', 'page'))}

### With connections

The first query.

{image('connections')}

{growing_connections(results)}""")
    Path(path).write_text("\n\n".join(parts) + "\n")
