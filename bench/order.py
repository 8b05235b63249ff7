#!/usr/bin/env python3
"""Measures moves in a collection of 1,000,000 artifacts, and the cost of dense numbers there, on both databases.

    python3 bench/order.py

It works on copies of dataset L, which `run.py` loads. Figures are milliseconds over one connection.
"""
import json
import os
import shutil
import sqlite3
import statistics
import time

import generate
from harness.prepare import POSTGRES, WORK, Data, load, psql
from harness.queries import Query
from harness.targets import Gatherum

MOVE = """mutation ($input: MoveCollectionArtifactsInput!) { moveCollectionArtifacts(input: $input) { __typename } }"""
PAGE = """query ($id: ID!, $after: String) { collection(id: $id) { artifacts(first: 100, after: $after) {
  edges { %s node { id } } } } }"""


def copy(data, kind):
    """A copy that may be changed."""
    if kind == "PostgreSQL":
        name = f"{data.database}_order"
        psql("postgres", f"drop database if exists {name}", f"create database {name} template {data.database}")
        psql(name, "vacuum analyze")
        return f"{POSTGRES}/{name}?sslmode=disable"
    file = WORK / "order.db"
    for old in WORK.glob("order.db*"):
        old.unlink()
    shutil.copy(WORK / f"{data.name}.db", file)
    return f"sqlite://{file}"


def timed(target, query):
    begun = time.perf_counter()
    answer = json.loads(target.answer(query))
    taken = (time.perf_counter() - begun) * 1e3
    if "errors" in answer:
        raise SystemExit(f"{query.name}: {answer['errors']}")
    return taken


def shown(times):
    return f"{statistics.median(times):.1f} ({max(times):.1f})"


def dense(kind, url, collection):
    """One statement that renumbers half of the collection, as a move from its middle to its start would with dense numbers."""
    bits = generate.bits(collection)
    statement = ("update collection_artifacts set sort_key = sort_key + 1 where collection_id = {id} and sort_key < "
                 f"{500_000 * (1 << 20)}")
    begun = time.perf_counter()
    if kind == "PostgreSQL":
        psql(url.split("/")[-1].split("?")[0], statement.format(id=f"'{bits:032x}'"))
    else:
        connection = sqlite3.connect(url.removeprefix("sqlite://"))
        connection.execute(statement.format(id=f"x'{bits:032x}'"))
        connection.commit()
        connection.close()
    return (time.perf_counter() - begun) * 1e3


def main():
    data = load("L")
    collection = data.near(1_000_000)
    members = list(generate.members(data.size, collection, data.sizes[collection]))
    identity = data.collection_near(1_000_000)
    artifact = lambda place: generate.type_id("artifact", members[place])
    middle = len(members) // 2
    print(f"members: {len(members):,}; median and maximum in ms\n")
    print("| | " + " | ".join(("PostgreSQL", "SQLite")) + " |\n|---|--:|--:|")
    rows = {}
    for kind in ("PostgreSQL", "SQLite"):
        url = copy(data, kind)
        # The copied rows are not flushed during the measurement.
        os.sync()
        target = Gatherum("order", url, "kept")
        target.start()
        try:
            def move(places, after):
                given = {"collectionId": identity, "artifactIds": [artifact(place) for place in places],
                         **({"afterArtifactId": artifact(after)} if after is not None else {})}
                return timed(target, Query("move", MOVE, {"input": given}))

            move([7], middle)
            measured = {
                "one from the end to the start": [move([-n], None) for n in range(1, 51)],
                "one from the start to the middle": [move([10 + n], middle + 1_000 * n) for n in range(50)],
                "100 from the start to the middle": [move(range(1_000 + 100 * n, 1_100 + 100 * n), middle + 777 * n) for n in range(20)],
                "one to the same place again and again, 500 times": [move([200_000 + n], middle + 5) for n in range(500)],
            }
            for fields, name in (("cursor", "a page from the middle"), ("cursor position", "the same with `position`")):
                page = Query("page", PAGE % fields, {"id": identity, "after": data.cursor(1_000_000, middle - 50)})
                measured[name] = [timed(target, page) for _ in range(11)][1:]
        finally:
            target.stop()
        for name, times in measured.items():
            rows.setdefault(name, []).append(shown(times))
        rows.setdefault("dense numbers: half of them rewritten by one statement", []).append(f"{dense(kind, url, collection):,.0f}")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")
    psql("postgres", f"drop database {data.database}_order")
    for old in WORK.glob("order.db*"):
        old.unlink()


if __name__ == "__main__":
    main()
