#!/usr/bin/env python3
"""Sends requests of several viewers concurrently, and compares every response with the one its viewer should get.

    python3 bench/viewers.py --seconds 60        # SQLite
    python3 bench/viewers.py --seconds 60 --database postgres://postgres@127.0.0.1:5432/gatherum_viewers

Two accounts, each with a token that may read and one that may write, one who administers the server, and nobody known: each
with catalogues of their own, private and public, and links that all of them open. The database must be empty, or is made.
Ends with status 1 at the first byte that is another viewer's.

Before that it asks for what is hidden and for what is missing in turn, --pairs times, and says how far the medians of the
two times are apart.
"""
import argparse
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "dist" / "gatherum"
THREADS_EACH = 2
DOCUMENTS = [
    "{ artifacts(first: 50) { totalCount nodes { id name collections { nodes { id name artifactCount } } } } }",
    "{ collections(first: 20) { totalCount nodes { id name artifacts(first: 20) { totalCount nodes { name tags { slug } } } } } }",
    "{ tags(first: 50) { nodes { slug artifactCount } } artifacts { facets { types { value artifactCount } } } }",
    "{ viewer { user { name } scopes } artifacts(filter: { search: \"secret\" }) { totalCount nodes { name content } } }",
]
# The target of a link with the objects that its viewer may list; cached for viewers without an account.
SHARED = ("query($token: String!) { shared(token: $token) { expiresAt target { ... on Collection { name artifacts(first: 20) "
          "{ nodes { name content collections { totalCount } } } } } } }")
ARTIFACT = "query($id: ID!) { artifact(id: $id) { id name content tags { slug } } }"


def run(*arguments, env):
    done = subprocess.run([BINARY, *arguments], env=env, capture_output=True, text=True, cwd="/")
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


class Client:
    def __init__(self, port, token):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"content-type": "application/json"}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def ask(self, query, variables=None):
        body = json.dumps({"query": query, "variables": variables or {}})
        self.connection.request("POST", "/graphql", body, self.headers)
        response = self.connection.getresponse()
        return response.status, response.read()


def fill(port, token, name):
    """Artifacts and collections of every visibility, some of whose names are the account's own secrets. Returns the token of
    a link to a private collection, a private artifact, and one that is gone."""
    client = Client(port, token)
    kinds = ["PRIVATE", "UNLISTED", "PUBLIC"]
    items = [{"type": "skill", "name": f"{name} secret {n}", "content": f"{name} only {n}", "tags": [f"{name}-{n % 7}", "all"],
              "visibility": kinds[n % 3]} for n in range(300)]
    made = "mutation($items: [CreateArtifactInput!]!) { createArtifacts(input: { artifacts: $items }) { results { artifact { id } } } }"
    status, answer = client.ask(made, {"items": items})
    results = json.loads(answer)["data"]["createArtifacts"]["results"]
    ids = [result["artifact"]["id"] for result in results]
    for n in range(15):
        collection = ("mutation($name: String!, $ids: [ID!], $visibility: Visibility!) { createCollection(input: "
                      "{ name: $name, artifactIds: $ids, visibility: $visibility }) { collection { id } } }")
        variables = {"name": f"{name} shelf {n}", "ids": ids[n * 20:n * 20 + 20], "visibility": kinds[n % 3]}
        status, answer = client.ask(collection, variables)
        assert status == 200 and b"errors" not in answer, answer
        if n == 0:
            shelf = json.loads(answer)["data"]["createCollection"]["collection"]["id"]
    link = "mutation($id: ID!) { createShareLink(input: { targetId: $id }) { shareLink { token } } }"
    status, answer = client.ask(link, {"id": shelf})
    token = json.loads(answer)["data"]["createShareLink"]["shareLink"]["token"]
    # Private ones of a private collection.
    hidden, gone = ids[240], ids[243]
    delete = "mutation($id: ID!) { deleteArtifacts(input: { ids: [$id] }) { results { error { code } } } }"
    status, answer = client.ask(delete, {"id": gone})
    assert status == 200 and b'"errors"' not in answer, answer
    return token, hidden, gone


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--database", help="a PostgreSQL URL; a SQLite file of its own where it is absent")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        env = {**os.environ, "DATABASE_URL": args.database or f"sqlite://{folder}/viewers.db", "LOG_LEVEL": "error",
               "GATHERUM_BIND": f"127.0.0.1:{port}", "GATHERUM_HTTP_RATE_PER_SECOND": "0"}
        run("migrate", "up", env=env)
        tokens = {}
        for name in ("Ann", "Ben", "Dan"):
            run("user", "add", name, env=env)
            for scope in ("read", "write", "admin"):
                said = run("token", "create", "--user", name, "--scope", scope, env=env)
                tokens[name, scope] = re.search(r"gatherum_[0-9a-f]+", said).group()
        server = subprocess.Popen([BINARY, "serve"], env=env, cwd="/", stdout=subprocess.DEVNULL)
        try:
            check(port, tokens, args.seconds, args.pairs)
        finally:
            server.terminate()
            server.wait()


def apart(port, viewer, hidden, gone, pairs):
    """The difference between the median times for hidden and for missing objects, in microseconds."""
    client, times = Client(port, viewer), {hidden: [], gone: []}
    for n in range(pairs + 50):
        for id in (hidden, gone) if n % 2 else (gone, hidden):
            begun = time.perf_counter()
            status, answer = client.ask(ARTIFACT, {"id": id})
            times[id].append(time.perf_counter() - begun)
            assert (status, json.loads(answer)) == (200, {"data": {"artifact": None}}), answer
    return abs(statistics.median(times[hidden][50:]) - statistics.median(times[gone][50:])) * 1e6


def check(port, tokens, seconds, pairs):
    begun = time.monotonic()
    while True:
        try:
            Client(port, None).ask("{ viewer { scopes } }")
            break
        except ConnectionError:
            if time.monotonic() - begun > 20:
                sys.exit("the server does not answer")
            time.sleep(0.05)
    of_ann, hidden, gone = fill(port, tokens["Ann", "write"], "Ann")
    of_ben, _, _ = fill(port, tokens["Ben", "write"], "Ben")
    questions = [(document, None) for document in DOCUMENTS] + [(SHARED, of_ann), (SHARED, of_ben)]
    print(f"hidden and missing: {apart(port, tokens['Ben', 'read'], hidden, gone, pairs):.0f} µs apart in {pairs} pairs")
    viewers = [None, tokens["Ann", "read"], tokens["Ann", "write"], tokens["Ben", "read"], tokens["Ben", "write"], tokens["Dan", "admin"]]
    def answer(client, question):
        return client.ask(question[0], question[1] and {"token": question[1]})

    expected = {(viewer, question): answer(Client(port, viewer), question) for viewer in viewers for question in questions}
    assert all(status == 200 and b"errors" not in body for status, body in expected.values())
    for question in questions:
        distinct = {expected[viewer, question] for viewer in (None, tokens["Ann", "read"], tokens["Ben", "read"])}
        assert len(distinct) == (3 if question[1] is None else 2), f"not everyone gets something else: {question[0]}"
    counts, wrong = [], []
    end = time.monotonic() + seconds

    def ask(viewer):
        client, count = Client(port, viewer), 0
        while time.monotonic() < end and not wrong:
            question = questions[count % len(questions)]
            if answer(client, question) != expected[viewer, question]:
                wrong.append((viewer, question))
            count += 1
        counts.append(count)

    threads = [threading.Thread(target=ask, args=[viewer]) for viewer in viewers for _ in range(THREADS_EACH)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        sys.exit(f"an answer was not the viewer's own: {wrong[0][1][0]}")
    print(f"{sum(counts)} answers to {len(viewers)} viewers in {seconds:.0f} s, every byte their own")


if __name__ == "__main__":
    main()
