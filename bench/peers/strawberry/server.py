"""Strawberry with its DataLoader and asyncpg, served by uvicorn: https://strawberry.rocks/docs/guides/dataloaders"""
import os
from collections import defaultdict
from functools import cached_property, partial

import asyncpg
import strawberry
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

PAGE_SIZE = 50
CONNECTIONS = 15 // int(os.environ.get("WORKERS", os.cpu_count() or 1))
COUNTS = {
    "kept": "select collection_id as key, sum(n)::int as n from collection_counts where collection_id = any($1) group by 1",
    "live": "select collection_id as key, count(*)::int as n from collection_artifacts where collection_id = any($1) group by 1",
}[os.environ["COUNTS"]]
GROUP_COUNTS = "select collection_id as key, count(*)::int as n from groups where collection_id = any($1) group by 1"
ARTIFACTS = "select id, name, type from artifacts order by created_at desc, id desc limit $1"
COLLECTIONS = "select id, name, description from collections order by name, id limit $1"
COLLECTION = "select id, name, description from collections where id = $1"
COLLECTIONS_OF = """
    select keys.id as key, page.*
    from unnest($1::uuid[]) as keys (id)
    cross join lateral (
      select c.id, c.name, c.description
      from collection_artifacts m join collections c on c.id = m.collection_id
      where m.artifact_id = keys.id order by c.name, c.id limit $2
    ) page"""
ARTIFACTS_OF = """
    select keys.id as key, page.*
    from unnest($1::uuid[]) as keys (id)
    cross join lateral (
      select a.id, a.name, a.type
      from collection_artifacts m join artifacts a on a.id = m.artifact_id
      where m.collection_id = keys.id order by m.sort_key, m.artifact_id limit $2
    ) page"""


@strawberry.type
class Artifacts:
    nodes: list["Artifact"]


@strawberry.type
class Collections:
    nodes: list["Collection"]


@strawberry.type
class Artifact:
    id: strawberry.ID
    name: str
    type: str

    @strawberry.field
    async def collections(self, info: strawberry.Info) -> Collections:
        return Collections(nodes=await info.context.collections_of.load(self.id))


@strawberry.type
class Collection:
    id: strawberry.ID
    name: str
    description: str | None

    @strawberry.field
    async def artifact_count(self, info: strawberry.Info) -> int:
        return await info.context.artifact_count.load(self.id)

    @strawberry.field
    async def group_count(self, info: strawberry.Info) -> int:
        return await info.context.group_count.load(self.id)

    @strawberry.field
    async def artifacts(self, info: strawberry.Info, first: int = PAGE_SIZE) -> Artifacts:
        return Artifacts(nodes=await info.context.artifacts_of(first).load(self.id))


@strawberry.type
class Query:
    @strawberry.field
    async def artifacts(self, info: strawberry.Info, first: int = PAGE_SIZE) -> Artifacts:
        return Artifacts(nodes=[artifact(row) for row in await info.context.pool.fetch(ARTIFACTS, first)])

    @strawberry.field
    async def collections(self, info: strawberry.Info, first: int = PAGE_SIZE) -> Collections:
        return Collections(nodes=[collection(row) for row in await info.context.pool.fetch(COLLECTIONS, first)])

    @strawberry.field
    async def collection(self, info: strawberry.Info, id: strawberry.ID) -> Collection | None:
        row = await info.context.pool.fetchrow(COLLECTION, id)
        return collection(row) if row else None


def artifact(row):
    return Artifact(id=row["id"], name=row["name"], type=row["type"])


def collection(row):
    return Collection(id=row["id"], name=row["name"], description=row["description"])


class Context:
    """The loaders of one request."""

    def __init__(self, pool):
        self.pool = pool
        self.pages = {}

    @cached_property
    def collections_of(self):
        return DataLoader(partial(self.load_pages, COLLECTIONS_OF, PAGE_SIZE, collection))

    @cached_property
    def artifact_count(self):
        return DataLoader(partial(self.load_numbers, COUNTS))

    @cached_property
    def group_count(self):
        return DataLoader(partial(self.load_numbers, GROUP_COUNTS))

    def artifacts_of(self, first):
        if first not in self.pages:
            self.pages[first] = DataLoader(partial(self.load_pages, ARTIFACTS_OF, first, artifact))
        return self.pages[first]

    async def load_pages(self, text, first, read, keys):
        pages = defaultdict(list)
        for row in await self.pool.fetch(text, keys, first):
            pages[row["key"]].append(read(row))
        return [pages[key] for key in keys]

    async def load_numbers(self, text, keys):
        numbers = {row["key"]: row["n"] for row in await self.pool.fetch(text, keys)}
        return [numbers.get(key, 0) for key in keys]


class Server(GraphQL):
    pool = None

    async def get_context(self, request, response=None):
        if Server.pool is None:
            Server.pool = asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=0, max_size=CONNECTIONS)
        return Context(await Server.pool)


schema = strawberry.Schema(Query, extensions=[ParserCache, ValidationCache])
app = Starlette(routes=[Route("/graphql", Server(schema, graphql_ide=None))])
