// The tests of urql, which are the same for each of its major versions.
import assert from 'node:assert/strict'
import { createClient as createSocketClient } from 'graphql-ws'
import WebSocket from 'ws'
import {
  artifactCount,
  check,
  checkEverySubscriptionHasEnded,
  checkSubscription,
  collectionChanged,
  count,
  hasDocument,
  recorded,
  socketUrl,
  url,
} from './catalogue.mjs'
import { artifactsOfType, createArtifact, invalidDocument, pageOfArtifacts, unknownCollection } from './documents.mjs'

const json = 'application/graphql-response+json'

// Declares the tests of a version. `method` is its default HTTP method for queries.
export function testUrql({ Client, cacheExchange, fetchExchange, subscriptionExchange }, { persistedExchange }, { method }) {
  const newClient = (options = {}) => new Client({ url, exchanges: [cacheExchange, fetchExchange], ...options })

  check('a query with variables', async () => {
    const variables = { type: 'skill', first: 2 }
    const { result, requests } = await recorded(() => newClient().query(artifactsOfType, variables).toPromise())
    assert.equal(result.error, undefined)
    assert.deepEqual(result.data.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
    assert.deepEqual(requests.map((request) => request.method), [method])
    assert.equal(requests[0].mediaType, json)
  })

  for (const preferGetMethod of [true, 'within-url-limit', 'force']) {
    check(`a query by GET, with preferGetMethod ${preferGetMethod}`, async () => {
      const query = () => newClient({ preferGetMethod }).query(artifactsOfType, { type: 'skill', first: 1 }).toPromise()
      const { result, requests } = await recorded(query)
      assert.equal(result.error, undefined)
      assert.equal(result.data.artifacts.nodes.length, 1)
      assert.deepEqual(requests.map(({ method, mediaType }) => [method, mediaType]), [['GET', json]])
    })
  }

  check('every page of a list', async () => {
    const client = newClient()
    const ids = new Set()
    let after = null
    do {
      const { data, error } = await client.query(pageOfArtifacts, { first: 7, after }).toPromise()
      assert.equal(error, undefined)
      data.artifacts.nodes.forEach(({ id }) => ids.add(id))
      after = data.artifacts.pageInfo.hasNextPage ? data.artifacts.pageInfo.endCursor : null
    } while (after)
    assert.ok(ids.size >= artifactCount, `${ids.size}`)
  })

  check('a mutation writes once', async () => {
    const input = { type: 'once', name: 'Once' }
    const { result, requests } = await recorded(() => newClient().mutation(createArtifact, { input }).toPromise())
    assert.equal(result.error, undefined)
    assert.equal(result.data.createArtifact.artifact.name, 'Once')
    assert.deepEqual(requests.map(({ method, mediaType }) => [method, mediaType]), [['POST', json]])
    assert.equal(await count('once'), 1)
  })

  check('a repeated mutation with an idempotency key writes once', async () => {
    const fetchOptions = { headers: { 'Idempotency-Key': 'urql' } }
    const write = () => newClient({ fetchOptions }).mutation(createArtifact, { input: { type: 'key', name: 'Key' } }).toPromise()
    const [first, second] = [await write(), await write()]
    assert.equal(second.error, undefined)
    assert.deepEqual(second.data, first.data)
    assert.equal(await count('key'), 1)
  })

  check('an error of a mutation has its code', async () => {
    const { error } = await newClient().mutation(createArtifact, { input: { type: 'Not a slug', name: 'x' } }).toPromise()
    assert.deepEqual(error.graphQLErrors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
    assert.equal(error.graphQLErrors[0].extensions.field, 'type')
  })

  check('a rejected document has its code', async () => {
    const { data, error } = await newClient().query(invalidDocument, {}).toPromise()
    assert.equal(data, undefined)
    assert.deepEqual(error.graphQLErrors.map((error) => error.extensions.code), ['GRAPHQL_VALIDATION_FAILED'])
    assert.equal(error.response.status, 400)
  })

  check('an aborted query leaves the client usable', async () => {
    const client = newClient()
    const { unsubscribe } = client.query(artifactsOfType, { type: 'agent', first: 9 }).subscribe(() => assert.fail('a result'))
    unsubscribe()
    const { data, error } = await client.query(artifactsOfType, { type: 'agent', first: 1 }).toPromise()
    assert.equal(error, undefined)
    assert.equal(data.artifacts.nodes.length, 1)
  })

  const persisted = { default: {}, 'by GET': { preferGetForPersistedQueries: true }, mutations: { enableForMutation: true } }
  for (const [name, options] of Object.entries(persisted)) {
    check(`automatic persisted queries, ${name}`, async () => {
      const exchanges = () => [cacheExchange, persistedExchange(options), fetchExchange]
      // Each of the tests has a document of its own, which the server does not know.
      const query = `{ artifacts(first: 1) { nodes { name } } viewer { ${name.replaceAll(' ', '')}: __typename } }`
      const execute = () => newClient({ exchanges: exchanges() }).query(query, {}).toPromise()
      const first = await recorded(execute)
      const second = await recorded(execute)
      assert.equal(first.result.error, undefined)
      assert.equal(second.result.error, undefined)
      assert.deepEqual(second.result.data, first.result.data)
      assert.deepEqual(first.requests.map(hasDocument), [false, true])
      assert.deepEqual(second.requests.map(hasDocument), [false])
      if (options.preferGetForPersistedQueries) assert.equal(second.requests[0].method, 'GET')

      if (!options.enableForMutation) return
      for (const label of ['first', 'second']) {
        const input = { type: 'persisted', name: label }
        const { error } = await newClient({ exchanges: exchanges() }).mutation(createArtifact, { input }).toPromise()
        assert.equal(error, undefined)
      }
      assert.equal(await count('persisted'), 2)
    })
  }

  const subscribeWith = (client) => (id, events) => {
    const { unsubscribe } = client.subscription(collectionChanged, { id }).subscribe(({ data, error }) => {
      error ? events.end(error) : events.push(data)
    })
    return unsubscribe
  }

  const subscriptionErrorWith = (client, id) =>
    new Promise((resolve) => {
      const { unsubscribe } = client.subscription(collectionChanged, { id }).subscribe((result) => {
        resolve(result)
        queueMicrotask(() => unsubscribe())
      })
    })

  const transports = {
    'Server-Sent Events': () => ({ client: newClient({ fetchSubscriptions: true }), close: () => {} }),
    'graphql-ws': () => {
      const socket = createSocketClient({ url: socketUrl, webSocketImpl: WebSocket })
      const forwardSubscription = (request) => ({
        subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? '' }, sink) }),
      })
      const exchanges = [cacheExchange, fetchExchange, subscriptionExchange({ forwardSubscription })]
      return { client: newClient({ exchanges }), close: () => socket.dispose() }
    },
  }
  for (const [name, connect] of Object.entries(transports)) {
    check(`a subscription by ${name}`, async () => {
      const { client, close } = connect()
      await checkSubscription(`events-${name.toLowerCase().replaceAll(' ', '-')}`, subscribeWith(client))
      await close()
    })

    check(`an error of a subscription by ${name} has its code`, async () => {
      const { client, close } = connect()
      const { error } = await subscriptionErrorWith(client, unknownCollection)
      assert.deepEqual(error.graphQLErrors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
      await close()
    })
  }

  checkEverySubscriptionHasEnded()
}
