// Schema and statements of the peers that are given both: those of gatherum, batched by their loaders.
import pg from 'pg'
import { settings } from './workers.mjs'

export const typeDefs = /* GraphQL */ `
  type Query {
    artifacts(first: Int): Artifacts!
    collections(first: Int): Collections!
    collection(id: ID!): Collection
  }
  type Artifacts { nodes: [Artifact!]! }
  type Collections { nodes: [Collection!]! }
  type Artifact {
    id: ID!
    name: String!
    type: String!
    collections: Collections!
  }
  type Collection {
    id: ID!
    name: String!
    description: String
    artifactCount: Int!
    groupCount: Int!
    artifacts(first: Int): Artifacts!
  }
`

const PAGE_SIZE = 50
const pool = new pg.Pool({ connectionString: settings.databaseUrl, max: settings.connections })

// Statements with a name are prepared once for each connection.
async function rows(name, text, values) {
  return (await pool.query({ name, text, values })).rows
}

export async function artifacts(first = PAGE_SIZE) {
  const text = 'select id, name, type from artifacts order by created_at desc, id desc limit $1'
  return { nodes: await rows('artifacts', text, [first]) }
}

export async function collections(first = PAGE_SIZE) {
  const text = 'select id, name, description from collections order by name, id limit $1'
  return { nodes: await rows('collections', text, [first]) }
}

export async function collection(id) {
  return (await rows('collection', 'select id, name, description from collections where id = $1', [id]))[0]
}

// A page of collections for each of these artifacts.
export async function collectionsOf(artifactIds) {
  const text = `
    select keys.id as key, page.*
    from unnest($1::uuid[]) as keys (id)
    cross join lateral (
      select c.id, c.name, c.description
      from collection_artifacts m join collections c on c.id = m.collection_id
      where m.artifact_id = keys.id order by c.name, c.id limit $2
    ) page`
  return pages(artifactIds, await rows('collectionsOf', text, [distinct(artifactIds), PAGE_SIZE]))
}

// A page of artifacts for each of these collections.
export async function artifactsOf(collectionIds, first = PAGE_SIZE) {
  const text = `
    select keys.id as key, page.*
    from unnest($1::uuid[]) as keys (id)
    cross join lateral (
      select a.id, a.name, a.type
      from collection_artifacts m join artifacts a on a.id = m.artifact_id
      where m.collection_id = keys.id order by m.sort_key, m.artifact_id limit $2
    ) page`
  return pages(collectionIds, await rows('artifactsOf', text, [distinct(collectionIds), first]))
}

const COUNTS = {
  kept: 'select collection_id as key, sum(n)::int as n from collection_counts where collection_id = any($1) group by 1',
  live: 'select collection_id as key, count(*)::int as n from collection_artifacts where collection_id = any($1) group by 1',
}

export async function artifactCounts(collectionIds) {
  return numbers(collectionIds, await rows('artifactCounts', COUNTS[settings.counts], [distinct(collectionIds)]))
}

export async function groupCounts(collectionIds) {
  const text = 'select collection_id as key, count(*)::int as n from groups where collection_id = any($1) group by 1'
  return numbers(collectionIds, await rows('groupCounts', text, [distinct(collectionIds)]))
}

function distinct(ids) {
  return [...new Set(ids)]
}

function pages(ids, rows) {
  const byKey = new Map()
  for (const row of rows) {
    const page = byKey.get(row.key)
    if (page) page.push(row)
    else byKey.set(row.key, [row])
  }
  return ids.map((id) => ({ nodes: byKey.get(id) ?? [] }))
}

function numbers(ids, rows) {
  const byKey = new Map(rows.map((row) => [row.key, row.n]))
  return ids.map((id) => byKey.get(id) ?? 0)
}
