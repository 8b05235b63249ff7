import {
  artifactCount,
  check,
  checkEverySubscriptionHasEnded,
  checkSubscription,
  collectionChanged,
  count,
  createArtifact as createArtifactOfType,
  hasDocument,
  recorded,
  socketUrl,
  url,
} from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, NetworkStatus, gql } from '@apollo/client'
import { createPersistedQueryLink } from '@apollo/client/link/persisted-queries'
import { GraphQLWsLink } from '@apollo/client/link/subscriptions'
import { relayStylePagination } from '@apollo/client/utilities'
import { createClient as createSocketClient } from 'graphql-ws'
import { OperationTypeNode } from 'graphql'
import WebSocket from 'ws'
import { artifactsOfType, createArtifact, invalidDocument, unknownCollection } from '../documents.mjs'

// GraphQLWsLink needs the global of browsers, which Node.js has from version 22 on.
globalThis.WebSocket ??= WebSocket

const newClient = (options = {}) =>
  new ApolloClient({ link: new HttpLink({ uri: url }), cache: new InMemoryCache(), ...options })

const mutation = gql(createArtifact)

// Returns the codes of the errors with which a promise of the client rejects.
async function codes(promise) {
  const error = await promise.then(() => assert.fail('a result'), (error) => error)
  assert.ok(CombinedGraphQLErrors.is(error), error)
  return error.errors.map((error) => error.extensions.code)
}

check('a query with variables', async () => {
  const query = () => newClient().query({ query: gql(artifactsOfType), variables: { type: 'skill', first: 2 } })
  const { result, requests } = await recorded(query)
  assert.deepEqual(result.data.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
  assert.deepEqual(requests.map(({ method, mediaType }) => [method, mediaType]), [['POST', 'application/graphql-response+json']])
})

check('a query by GET, with useGETForQueries', async () => {
  const client = newClient({ link: new HttpLink({ uri: url, useGETForQueries: true }) })
  const { result, requests } = await recorded(() =>
    client.query({ query: gql(artifactsOfType), variables: { type: 'skill', first: 1 } }),
  )
  assert.equal(result.data.artifacts.nodes.length, 1)
  assert.deepEqual(requests.map(({ method, status }) => [method, status]), [['GET', 200]])
})

check('every page of a list', async () => {
  const cache = new InMemoryCache({ typePolicies: { Query: { fields: { artifacts: relayStylePagination(['orderBy']) } } } })
  const pages = newClient({ cache }).watchQuery({
    query: gql`
      query Pages($first: Int!, $after: String) {
        artifacts(first: $first, after: $after, orderBy: { field: NAME, direction: ASC }) {
          edges { cursor node { id name } }
          pageInfo { hasNextPage endCursor }
        }
      }
    `,
    variables: { first: 7 },
  })
  let watched
  const artifacts = await new Promise((resolve, reject) => {
    watched = pages.subscribe(({ data, networkStatus }) => {
      if (networkStatus !== NetworkStatus.ready) return
      const { hasNextPage, endCursor } = data.artifacts.pageInfo
      hasNextPage ? pages.fetchMore({ variables: { after: endCursor } }).catch(reject) : resolve(data.artifacts)
    })
  })
  watched.unsubscribe()
  const ids = new Set(artifacts.edges.map((edge) => edge.node.id))
  assert.equal(ids.size, artifacts.edges.length)
  assert.ok(ids.size >= artifactCount, `${ids.size}`)
})

check('a mutation writes once', async () => {
  const write = () => newClient().mutate({ mutation, variables: { input: { type: 'once', name: 'Once' } } })
  const { result, requests } = await recorded(write)
  assert.equal(result.data.createArtifact.artifact.name, 'Once')
  assert.deepEqual(requests.map(({ method, status }) => [method, status]), [['POST', 200]])
  assert.equal(await count('once'), 1)
})

check('a repeated mutation with an idempotency key writes once', async () => {
  const context = { headers: { 'Idempotency-Key': 'apollo' } }
  const write = () => newClient().mutate({ mutation, variables: { input: { type: 'key', name: 'Key' } }, context })
  const [first, second] = [await write(), await write()]
  assert.deepEqual(second.data, first.data)
  assert.equal(await count('key'), 1)
})

check('a mutation updates a query that is watched', async () => {
  const id = await createArtifactOfType('watched', 'before')
  const client = newClient()
  const query = gql`query ($id: ID!) { artifact(id: $id) { id name revision } }`
  const names = []
  const watched = client.watchQuery({ query, variables: { id } }).subscribe(({ data, loading }) => {
    if (!loading) names.push(data.artifact.name)
  })
  await client.query({ query, variables: { id } })
  const rename = gql`mutation ($input: UpdateArtifactInput!) { updateArtifact(input: $input) { artifact { id name revision } } }`
  await client.mutate({ mutation: rename, variables: { input: { id, name: 'after' } } })
  watched.unsubscribe()
  assert.deepEqual(names, ['before', 'after'])
})

check('an error of a mutation has its code', async () => {
  const write = newClient().mutate({ mutation, variables: { input: { type: 'Not a slug', name: 'x' } } })
  assert.deepEqual(await codes(write), ['BAD_USER_INPUT'])
})

check('a rejected document has its code', async () => {
  assert.deepEqual(await codes(newClient().query({ query: gql(invalidDocument) })), ['GRAPHQL_VALIDATION_FAILED'])
})

check('an aborted query leaves the client usable', async () => {
  const client = newClient()
  const abort = new AbortController()
  const query = gql(artifactsOfType)
  const context = { fetchOptions: { signal: abort.signal } }
  const aborted = client.query({ query, variables: { type: 'agent', first: 9 }, context })
  abort.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
  const { data } = await client.query({ query, variables: { type: 'agent', first: 1 } })
  assert.equal(data.artifacts.nodes.length, 1)
})

const sha256 = async (text) => createHash('sha256').update(text).digest('hex')

for (const useGETForHashedQueries of [false, true]) {
  check(`automatic persisted queries, with useGETForHashedQueries ${useGETForHashedQueries}`, async () => {
    const label = `get${useGETForHashedQueries}`
    const query = gql(`{ artifacts(first: 1) { nodes { id } } viewer { ${label}: __typename } }`)
    const link = () => createPersistedQueryLink({ sha256, useGETForHashedQueries }).concat(new HttpLink({ uri: url }))
    const first = await recorded(() => newClient({ link: link() }).query({ query }))
    const second = await recorded(() => newClient({ link: link() }).query({ query }))
    assert.deepEqual(second.result.data, first.result.data)
    assert.deepEqual(first.requests.map(hasDocument), [false, true])
    assert.deepEqual(second.requests.map(hasDocument), [false])
    assert.equal(second.requests[0].method, useGETForHashedQueries ? 'GET' : 'POST')

    for (const name of ['first', 'second']) {
      await newClient({ link: link() }).mutate({ mutation, variables: { input: { type: label.toLowerCase(), name } } })
    }
    assert.equal(await count(label.toLowerCase()), 2)
  })
}

const transports = {
  'multipart responses': () => ({ client: newClient(), close: () => {} }),
  'graphql-ws': () => {
    const socket = createSocketClient({ url: socketUrl })
    const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION
    const link = ApolloLink.split(isSubscription, new GraphQLWsLink(socket), new HttpLink({ uri: url }))
    return { client: newClient({ link }), close: () => socket.dispose() }
  },
}
for (const [name, connect] of Object.entries(transports)) {
  check(`a subscription by ${name}`, async () => {
    const { client, close } = connect()
    await checkSubscription(`events-${name.replaceAll(' ', '-')}`, (id, events) => {
      const subscription = client.subscribe({ query: gql(collectionChanged), variables: { id } }).subscribe({
        next: ({ data, error }) => (error ? events.end(error) : events.push(data)),
        error: (error) => events.end(error),
      })
      return () => subscription.unsubscribe()
    })
    await close()
  })

  check(`an error of a subscription by ${name} has its code`, async () => {
    const { client, close } = connect()
    const variables = { id: unknownCollection }
    const failed = new Promise((resolve, reject) => {
      const next = ({ error }) => (error ? reject(error) : resolve())
      client.subscribe({ query: gql(collectionChanged), variables }).subscribe({ next, error: reject, complete: resolve })
    })
    assert.deepEqual(await codes(failed), ['BAD_USER_INPUT'])
    await close()
  })
}

checkEverySubscriptionHasEnded()
