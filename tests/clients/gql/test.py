"""Tests of gql, with each of its transports, in a report of the Test Anything Protocol."""

import asyncio
import json
import os
import sys
import unittest
from urllib.request import Request, urlopen

from gql import Client, GraphQLRequest
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport, HTTPXTransport
from gql.transport.websockets import WebsocketsTransport

URL = os.environ["GATHERUM_URL"]
SOCKET_URL = URL.replace("http", "ws") + "/ws"
ARTIFACTS = int(os.environ["GATHERUM_ARTIFACTS"])

# A test that does not end within this time hangs.
HANGS_AFTER_S = 60

ARTIFACTS_OF_TYPE = (
    "query ($type: String!, $first: Int!) { artifacts(filter: { types: [$type] }, first: $first) { nodes { type } } }"
)
PAGE_OF_ARTIFACTS = (
    "query ($first: Int!, $after: String) { artifacts(first: $first, after: $after,"
    " orderBy: { field: NAME, direction: ASC }) { nodes { id } pageInfo { hasNextPage endCursor } } }"
)
CREATE_ARTIFACT = "mutation ($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id name } } }"
COLLECTION_CHANGED = "subscription ($id: ID!) { collectionChanged(id: $id) { kind artifactIds } }"
INVALID = "{ artifacts { nodes { unknown } } }"

HTTP_TRANSPORTS = {
    "aiohttp": lambda **options: AIOHTTPTransport(url=URL, **options),
    "httpx": lambda **options: HTTPXAsyncTransport(url=URL, **options),
}
SUBSCRIPTION_TRANSPORTS = {
    "websockets": lambda: WebsocketsTransport(url=SOCKET_URL),
    "aiohttp websockets": lambda: AIOHTTPWebsocketsTransport(url=SOCKET_URL),
    "aiohttp multipart responses": lambda: AIOHTTPTransport(url=URL),
}
ALL_TRANSPORTS = HTTP_TRANSPORTS | {
    name: SUBSCRIPTION_TRANSPORTS[name] for name in ["websockets", "aiohttp websockets"]
}


def request(document, **variables):
    return GraphQLRequest(document, variable_values=variables)


def execute(query, **variables):
    """Executes an operation without gql, and returns its data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    with urlopen(Request(URL, body, {"content-type": "application/json"})) as response:
        result = json.load(response)
    assert "errors" not in result, result
    return result["data"]


def count(kind):
    """Returns the number of artifacts of a type. Each test that writes has a type of its own."""
    query = "query ($types: [String!]) { artifacts(filter: { types: $types }) { totalCount } }"
    return execute(query, types=[kind])["artifacts"]["totalCount"]


def slug(name):
    return name.replace(" ", "-")


class Changes:
    """A collection, whose changes a subscription receives."""

    def __init__(self, name):
        query = "mutation ($name: String!) { createCollection(input: { name: $name }) { collection { id } } }"
        self.id = execute(query, name=name)["createCollection"]["collection"]["id"]
        query = "mutation ($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id } } }"
        created = execute(query, input={"type": slug(name), "name": "added"})
        self.artifact = created["createArtifact"]["artifact"]["id"]

    async def describe_until(self, received):
        """Changes the collection until an event arrives: a client does not learn when its subscription has started."""
        query = "mutation ($input: UpdateCollectionInput!) { updateCollection(input: $input) { collection { id } } }"
        attempt = 0
        while not received.done():
            attempt += 1
            await asyncio.to_thread(execute, query, input={"id": self.id, "description": f"Attempt {attempt}"})

    def add(self):
        query = "mutation ($input: AddArtifactsToCollectionInput!) { addArtifactsToCollection(input: $input) { changedIds } }"
        execute(query, input={"collectionId": self.id, "artifactIds": [self.artifact]})


class Tests(unittest.IsolatedAsyncioTestCase):
    """Each test runs with several transports, as subtests."""

    async def run_with(self, transports, test):
        for name, transport in transports.items():
            with self.subTest(transport=name):
                await asyncio.wait_for(test(name, transport), HANGS_AFTER_S)

    async def test_query(self):
        """a query with variables"""

        async def test(_, transport):
            async with Client(transport=transport()) as session:
                result = await session.execute(request(ARTIFACTS_OF_TYPE, type="skill", first=2))
            self.assertEqual([node["type"] for node in result["artifacts"]["nodes"]], ["skill", "skill"])

        await self.run_with(ALL_TRANSPORTS, test)

    async def test_schema(self):
        """a document is validated with the schema of the server, which the client fetches"""

        async def test(_, transport):
            async with Client(transport=transport(), fetch_schema_from_transport=True) as session:
                with self.assertRaisesRegex(Exception, "unknown"):
                    await session.execute(request(INVALID))
                self.assertIn("Artifact", session.client.schema.type_map)

        await self.run_with(HTTP_TRANSPORTS, test)

    async def test_pages(self):
        """every page of a list"""

        async def test(_, transport):
            ids, page = set(), {"hasNextPage": True, "endCursor": None}
            async with Client(transport=transport()) as session:
                while page["hasNextPage"]:
                    query = request(PAGE_OF_ARTIFACTS, first=7, after=page["endCursor"])
                    artifacts = (await session.execute(query))["artifacts"]
                    ids.update(node["id"] for node in artifacts["nodes"])
                    page = artifacts["pageInfo"]
            self.assertGreaterEqual(len(ids), ARTIFACTS)

        await self.run_with(ALL_TRANSPORTS, test)

    async def test_mutation(self):
        """a mutation writes once"""

        async def test(name, transport):
            kind = f"once-{slug(name)}"
            async with Client(transport=transport()) as session:
                result = await session.execute(request(CREATE_ARTIFACT, input={"type": kind, "name": "Once"}))
            self.assertEqual(result["createArtifact"]["artifact"]["name"], "Once")
            self.assertEqual(count(kind), 1)

        await self.run_with(ALL_TRANSPORTS, test)

    async def test_idempotency_key(self):
        """a repeated mutation with an idempotency key writes once"""

        async def test(name, transport):
            results = []
            for _ in range(2):
                async with Client(transport=transport(headers={"Idempotency-Key": name})) as session:
                    mutation = request(CREATE_ARTIFACT, input={"type": f"key-{name}", "name": "Key"})
                    results.append(await session.execute(mutation))
            self.assertEqual(*results)
            self.assertEqual(count(f"key-{name}"), 1)

        await self.run_with(HTTP_TRANSPORTS, test)

    async def test_synchronous(self):
        """a query by the synchronous client"""
        client = Client(transport=HTTPXTransport(url=URL))
        result = await asyncio.to_thread(client.execute, request(ARTIFACTS_OF_TYPE, type="skill", first=1))
        self.assertEqual(len(result["artifacts"]["nodes"]), 1)

    async def check_code(self, transport, document, code, **variables):
        async with Client(transport=transport()) as session:
            with self.assertRaises(TransportQueryError) as raised:
                await session.execute(request(document, **variables))
        self.assertEqual([error["extensions"]["code"] for error in raised.exception.errors], [code])

    async def test_error(self):
        """an error of a mutation has its code"""

        async def test(_, transport):
            invalid = {"type": "Not a slug", "name": "x"}
            await self.check_code(transport, CREATE_ARTIFACT, "BAD_USER_INPUT", input=invalid)

        await self.run_with(ALL_TRANSPORTS, test)

    async def test_rejected(self):
        """a rejected document has its code"""

        async def test(_, transport):
            await self.check_code(transport, INVALID, "GRAPHQL_VALIDATION_FAILED")

        await self.run_with(ALL_TRANSPORTS, test)

    async def test_subscription(self):
        """a subscription"""

        async def test(name, transport):
            changes = Changes(f"events {name}")
            async with Client(transport=transport()) as session:
                events = session.subscribe(request(COLLECTION_CHANGED, id=changes.id))
                first = asyncio.ensure_future(anext(events))
                await changes.describe_until(first)
                self.assertEqual(first.result()["collectionChanged"]["kind"], "UPDATED")
                await asyncio.to_thread(changes.add)
                async for event in events:
                    if event["collectionChanged"]["kind"] != "UPDATED":
                        break
                await events.aclose()
            expected = {"kind": "ARTIFACTS_ADDED", "artifactIds": [changes.artifact]}
            self.assertEqual(event["collectionChanged"], expected)

        await self.run_with(SUBSCRIPTION_TRANSPORTS, test)

    async def test_subscription_error(self):
        """an error of a subscription has its code"""

        async def test(_, transport):
            async with Client(transport=transport()) as session:
                subscription = request(COLLECTION_CHANGED, id="collection_unknown")
                with self.assertRaises(TransportQueryError) as raised:
                    async for _ in session.subscribe(subscription):
                        self.fail("an event")
            self.assertEqual([error["extensions"]["code"] for error in raised.exception.errors], ["BAD_USER_INPUT"])

        await self.run_with(SUBSCRIPTION_TRANSPORTS, test)


class Report(unittest.TestResult):
    """Prints a line per test, and why tests failed."""

    failed = False

    def startTest(self, test):
        super().startTest(test)
        self.failed = False

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.failed = True

    def addError(self, test, error):
        super().addError(test, error)
        self.failed = True

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        self.failed = self.failed or error is not None

    def stopTest(self, test):
        super().stopTest(test)
        outcome = "not ok" if self.failed else "ok"
        print(f"{outcome} {self.testsRun} - {test.shortDescription()}", flush=True)


def main():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Tests)
    print(f"1..{suite.countTestCases()}")
    result = suite.run(Report())
    for test, trace in result.failures + result.errors:
        print(f"{test}\n{trace}", file=sys.stderr)
    sys.exit(0 if result.wasSuccessful() else 1)


main()
