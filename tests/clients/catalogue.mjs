// The catalogue that the clients are tested with. It is read and written here without any of the clients.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, test } from 'node:test'

// URL of the GraphQL endpoint.
export const url = process.env.GATHERUM_URL

// URL of the endpoint of WebSockets.
export const socketUrl = `${url.replace('http', 'ws')}/ws`

// Number of artifacts in the catalogue before the tests write any.
export const artifactCount = Number(process.env.GATHERUM_ARTIFACTS)

// Maximum number of subscription connections of the server.
const subscriptionsMax = Number(process.env.GATHERUM_SUBSCRIPTIONS)

// A test that does not end within this time hangs.
const hangsAfterMs = 60_000

const nativeFetch = globalThis.fetch

// HTTP requests of the client under test, which uses the global fetch, and the status and media type of their responses.
const requests = []

globalThis.fetch = async function fetch(input, init) {
  const sent = new Request(input instanceof Request ? input.clone() : input, init)
  const request = { method: sent.method, url: sent.url, body: init?.body, headers: Object.fromEntries(sent.headers) }
  requests.push(request)
  const response = await nativeFetch(input, init)
  request.status = response.status
  request.mediaType = response.headers.get('content-type')?.split(';')[0]
  return response
}

// Returns the requests that `action` makes, and its result.
export async function recorded(action) {
  requests.length = 0
  const result = await action()
  return { result, requests: [...requests] }
}

// Returns whether a request has the text of a document, and not only its identifier.
export function hasDocument({ url, body }) {
  return new URL(url).searchParams.has('query') || (body !== undefined && 'query' in JSON.parse(body))
}

// Adds a manifest of trusted documents to the database, as an operator does.
export function addTrustedDocuments(manifest) {
  const env = { PATH: process.env.PATH, DATABASE_URL: process.env.GATHERUM_DATABASE }
  execFileSync(process.env.GATHERUM_PROGRAM, ['documents', 'add', manifest], { env, stdio: 'pipe' })
}

// Declares a test, which fails instead of hanging.
export function check(name, run) {
  test(name, { timeout: hangsAfterMs }, run)
}

// The process must end by itself: a client that is not disposed of, or a stream that is not closed, keeps it running.
after(() => {
  const exit = () => {
    console.error('the process does not end: the client keeps a connection open')
    process.exit(1)
  }
  setTimeout(exit, hangsAfterMs).unref()
})

// Executes an operation and returns its data.
export async function execute(query, variables = {}) {
  const response = await nativeFetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  })
  const { data, errors } = await response.json()
  assert.equal(errors, undefined, JSON.stringify(errors))
  return data
}

// Returns the number of artifacts of a type. Each test that writes has a type of its own.
export async function count(type) {
  const query = 'query ($types: [String!]) { artifacts(filter: { types: $types }) { totalCount } }'
  return (await execute(query, { types: [type] })).artifacts.totalCount
}

// Creates an artifact and returns its id.
export async function createArtifact(type, name) {
  const query = 'mutation ($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id } } }'
  return (await execute(query, { input: { type, name } })).createArtifact.artifact.id
}

// Creates a collection and returns its id.
export async function createCollection(name) {
  const query = 'mutation ($name: String!) { createCollection(input: { name: $name }) { collection { id } } }'
  return (await execute(query, { name })).createCollection.collection.id
}

async function describe(collection, description) {
  const query =
    'mutation ($input: UpdateCollectionInput!) { updateCollection(input: $input) { collection { revision } } }'
  await execute(query, { input: { id: collection, description } })
}

async function addArtifact(collection, artifact) {
  const query = 'mutation ($input: AddArtifactsToCollectionInput!) { addArtifactsToCollection(input: $input) { changedIds } }'
  await execute(query, { input: { collectionId: collection, artifactIds: [artifact] } })
}

// The events of a subscription: what the client passes to its callbacks, as a queue.
export class Events {
  #queue = []
  #waiting = []
  #ended

  push(event) {
    const waiting = this.#waiting.shift()
    waiting ? waiting.resolve(event) : this.#queue.push(event)
  }

  // Ends the queue: a reader then gets the error, or learns that the subscription is complete.
  end(error) {
    this.#ended ??= error ?? new Error('the subscription is complete')
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#ended)
  }

  next() {
    if (this.#queue.length > 0) return Promise.resolve(this.#queue.shift())
    if (this.#ended) return Promise.reject(this.#ended)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }
}

// The subscription of the tests, with the variable `id`.
export const collectionChanged =
  'subscription CollectionChanged($id: ID!) { collectionChanged(id: $id) { kind artifactIds collection { id name } } }'

// Checks that a subscription receives every change of a new collection, in order. `subscribe` gets the id of the
// collection and a queue for the data of the events, and returns the function that unsubscribes.
//
// A client does not learn when its subscription has started, so the collection is changed until the first event.
export async function checkSubscription(type, subscribe) {
  const collection = await createCollection(`Collection of ${type}`)
  const artifacts = [await createArtifact(type, 'first'), await createArtifact(type, 'second')]
  const events = new Events()
  const unsubscribe = await subscribe(collection, events)
  let started = false
  const first = events.next().finally(() => (started = true))
  for (let attempt = 1; !started; attempt++) await describe(collection, `Attempt ${attempt}`)
  assert.equal((await first).collectionChanged.kind, 'UPDATED')

  for (const artifact of artifacts) await addArtifact(collection, artifact)

  const added = []
  while (added.length < artifacts.length) {
    const { kind, artifactIds, collection: changed } = (await events.next()).collectionChanged
    assert.equal(changed.id, collection)
    if (kind !== 'UPDATED') added.push({ kind, artifactIds })
  }
  assert.deepEqual(added, artifacts.map((artifact) => ({ kind: 'ARTIFACTS_ADDED', artifactIds: [artifact] })))
  await unsubscribe()
}

async function openStream() {
  const abort = new AbortController()
  const response = await nativeFetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query: 'subscription { catalogChanged { kind } }' }),
    signal: abort.signal,
  })
  const isOpen = response.status === 200
  if (!isOpen) await response.text()
  // Node.js cancels the body of a response that nothing refers to.
  return { isOpen, response, close: () => abort.abort() }
}

// Declares the last test of a client: the server has ended every subscription that the client ended, so that all
// subscription connections are available.
export function checkEverySubscriptionHasEnded() {
  check('every subscription has ended on the server', async () => {
    const streams = []
    while (streams.length < subscriptionsMax) {
      const stream = await openStream()
      if (stream.isOpen) streams.push(stream)
    }
    const excess = await openStream()
    for (const stream of streams) stream.close()
    assert.equal(excess.isOpen, false, 'the test counts the connections')
  })
}
