import {
  artifactCount,
  check,
  checkEverySubscriptionHasEnded,
  checkSubscription,
  collectionChanged,
  count,
  socketUrl,
} from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { createClient } from 'graphql-ws'
import WebSocket from 'ws'
import { artifactsOfType, createArtifact, invalidDocument, pageOfArtifacts, unknownCollection } from '../documents.mjs'

const newClient = (options = {}) => createClient({ url: socketUrl, webSocketImpl: WebSocket, ...options })

// Runs `use` with a client, and disposes of it.
async function withClient(use, options) {
  const client = newClient(options)
  try {
    return await use(client)
  } finally {
    await client.dispose()
  }
}

// Returns all results of an operation.
async function results(client, query, variables) {
  const results = []
  for await (const result of client.iterate({ query, variables })) results.push(result)
  return results
}

// Returns the only result of an operation.
async function only(client, query, variables) {
  const [result, ...others] = await results(client, query, variables)
  assert.equal(others.length, 0)
  return result
}

// Returns the codes of the errors with which an operation ends.
async function codes(client, query, variables) {
  const errors = await results(client, query, variables).then(() => assert.fail('a result'), (errors) => errors)
  assert.ok(Array.isArray(errors), errors)
  return errors.map((error) => error.extensions.code)
}

check('a query with variables', () =>
  withClient(async (client) => {
    const { data } = await only(client, artifactsOfType, { type: 'skill', first: 2 })
    assert.deepEqual(data.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
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

check('an error of a mutation has its code', () =>
  withClient(async (client) => {
    const { errors } = await only(client, createArtifact, { input: { type: 'Not a slug', name: 'x' } })
    assert.deepEqual(errors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
  }),
)

check('a rejected document has its code', () =>
  withClient(async (client) => {
    assert.deepEqual(await codes(client, invalidDocument), ['GRAPHQL_VALIDATION_FAILED'])
  }),
)

check('an error of a subscription has its code', () =>
  withClient(async (client) => {
    assert.deepEqual(await codes(client, collectionChanged, { id: unknownCollection }), ['BAD_USER_INPUT'])
  }),
)

const subscribeWith = (client) => (id, events) =>
  client.subscribe(
    { query: collectionChanged, variables: { id } },
    { next: ({ data }) => events.push(data), error: (error) => events.end(error), complete: () => events.end() },
  )

check('a subscription', () => withClient((client) => checkSubscription('events', subscribeWith(client))))

check('many subscriptions on one connection', () =>
  withClient(async (client) => {
    const types = Array.from({ length: 20 }, (_, index) => `events-${index}`)
    await Promise.all(types.map((type) => checkSubscription(type, subscribeWith(client))))
  }),
)

check('a connection that is opened at once, with pings, stays open between operations', async () => {
  let pongs = 0
  const twoPongs = Promise.withResolvers ? Promise.withResolvers() : deferred()
  const on = {
    pong: (received) => {
      if (received && ++pongs === 2) twoPongs.resolve()
    },
    closed: (event) => twoPongs.reject(event),
  }
  const client = newClient({ lazy: false, keepAlive: 50, on, onNonLazyError: (error) => twoPongs.reject(error) })
  await twoPongs.promise
  const { data } = await only(client, artifactsOfType, { type: 'skill', first: 1 })
  assert.equal(data.artifacts.nodes.length, 1)
  on.closed = () => {}
  await client.dispose()
})

function deferred() {
  const parts = {}
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }))
  return parts
}

check('a client that loses its connection subscribes again', () => {
  let socket
  const on = { opened: (opened) => (socket = opened) }
  return withClient(
    async (client) => {
      await checkSubscription('reconnect', (id, events) => {
        let lost = false
        const sink = {
          next: ({ data }) => {
            if (lost) return events.push(data)
            lost = true
            socket.terminate()
          },
          error: (error) => events.end(error),
          complete: () => events.end(),
        }
        return client.subscribe({ query: collectionChanged, variables: { id } }, sink)
      })
    },
    { on },
  )
})

checkEverySubscriptionHasEnded()
