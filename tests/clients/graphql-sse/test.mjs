import {
  artifactCount,
  check,
  checkEverySubscriptionHasEnded,
  checkSubscription,
  collectionChanged,
  count,
  recorded,
  url,
} from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { createClient } from 'graphql-sse'
import { artifactsOfType, createArtifact, invalidDocument, pageOfArtifacts, unknownCollection } from '../documents.mjs'

// Runs `use` with a client, and disposes of it.
async function withClient(use, options = {}) {
  const client = createClient({ url, ...options })
  try {
    return await use(client)
  } finally {
    client.dispose()
  }
}

// Returns the only result of an operation.
async function only(client, query, variables) {
  const results = []
  for await (const result of client.iterate({ query, variables })) results.push(result)
  assert.equal(results.length, 1)
  return results[0]
}

const codes = ({ errors }) => errors.map((error) => error.extensions.code)

check('a query with variables', () =>
  withClient(async (client) => {
    const { result, requests } = await recorded(() => only(client, artifactsOfType, { type: 'skill', first: 2 }))
    assert.deepEqual(result.data.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
    assert.deepEqual(requests.map(({ method, mediaType }) => [method, mediaType]), [['POST', 'text/event-stream']])
  }),
)

check('every page of a list', () =>
  withClient(async (client) => {
    const ids = new Set()
    let page = { hasNextPage: true, endCursor: null }
    while (page.hasNextPage) {
      const { data } = await only(client, pageOfArtifacts, { first: 7, after: page.endCursor })
      data.artifacts.nodes.forEach(({ id }) => ids.add(id))
      page = data.artifacts.pageInfo
    }
    assert.ok(ids.size >= artifactCount, `${ids.size}`)
  }),
)

check('a mutation writes once', () =>
  withClient(async (client) => {
    const { data } = await only(client, createArtifact, { input: { type: 'once', name: 'Once' } })
    assert.equal(data.createArtifact.artifact.name, 'Once')
    assert.equal(await count('once'), 1)
  }),
)

check('a repeated mutation with an idempotency key writes once', () =>
  withClient(
    async (client) => {
      const write = () => only(client, createArtifact, { input: { type: 'key', name: 'Key' } })
      const [first, second] = [await write(), await write()]
      assert.deepEqual(second, first)
      assert.equal(await count('key'), 1)
    },
    { headers: { 'Idempotency-Key': 'graphql-sse' } },
  ),
)

check('an error of a mutation has its code', () =>
  withClient(async (client) => {
    const result = await only(client, createArtifact, { input: { type: 'Not a slug', name: 'x' } })
    assert.deepEqual(codes(result), ['BAD_USER_INPUT'])
  }),
)

check('a rejected document has its code', () =>
  withClient(async (client) => {
    assert.deepEqual(codes(await only(client, invalidDocument)), ['GRAPHQL_VALIDATION_FAILED'])
  }),
)

check('an error of a subscription has its code', () =>
  withClient(async (client) => {
    assert.deepEqual(codes(await only(client, collectionChanged, { id: unknownCollection })), ['BAD_USER_INPUT'])
  }),
)

check('a subscription', () =>
  withClient((client) =>
    checkSubscription('events', (id, events) =>
      client.subscribe(
        { query: collectionChanged, variables: { id } },
        { next: ({ data }) => events.push(data), error: (error) => events.end(error), complete: () => events.end() },
      ),
    ),
  ),
)

check('a loop that is left ends the subscription', () =>
  withClient((client) =>
    checkSubscription('loop', (id, events) => {
      const results = client.iterate({ query: collectionChanged, variables: { id } })
      const reading = (async () => {
        for await (const { data } of results) events.push(data)
      })().catch((error) => events.end(error))
      return () => results.return().then(() => reading)
    }),
  ),
)

checkEverySubscriptionHasEnded()
