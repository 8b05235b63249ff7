import { artifactCount, check, count, recorded, url } from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { ClientError, GraphQLClient, request } from 'graphql-request'
import { artifactsOfType, createArtifact, invalidDocument, pageOfArtifacts } from '../documents.mjs'

const client = new GraphQLClient(url)

// Returns the error with which a promise of the client rejects.
async function failure(promise) {
  const error = await promise.then(() => assert.fail('a result'), (error) => error)
  assert.ok(error instanceof ClientError, error)
  return error.response
}

check('a query with variables', async () => {
  const { result, requests } = await recorded(() => request(url, artifactsOfType, { type: 'skill', first: 2 }))
  assert.deepEqual(result.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
  assert.deepEqual(requests.map(({ method, mediaType }) => [method, mediaType]), [['POST', 'application/graphql-response+json']])
})

check('a query by GET', async () => {
  const query = () => new GraphQLClient(url, { method: 'GET' }).request(artifactsOfType, { type: 'skill', first: 1 })
  const { result, requests } = await recorded(query)
  assert.equal(result.artifacts.nodes.length, 1)
  assert.deepEqual(requests.map(({ method, status }) => [method, status]), [['GET', 200]])
})

check('every page of a list', async () => {
  const ids = new Set()
  let page = { hasNextPage: true, endCursor: null }
  while (page.hasNextPage) {
    const { artifacts } = await client.request(pageOfArtifacts, { first: 7, after: page.endCursor })
    artifacts.nodes.forEach(({ id }) => ids.add(id))
    page = artifacts.pageInfo
  }
  assert.ok(ids.size >= artifactCount, `${ids.size}`)
})

check('a raw request has the headers of the response', async () => {
  const { data, headers, status } = await client.rawRequest(artifactsOfType, { type: 'skill', first: 1 })
  assert.equal(status, 200)
  assert.equal(data.artifacts.nodes.length, 1)
  assert.match(headers.get('server-timing'), /2 statements/)
})

check('a mutation writes once', async () => {
  const { result, requests } = await recorded(() => client.request(createArtifact, { input: { type: 'once', name: 'Once' } }))
  assert.equal(result.createArtifact.artifact.name, 'Once')
  assert.equal(requests.length, 1)
  assert.equal(await count('once'), 1)
})

check('a repeated mutation with an idempotency key writes once', async () => {
  const headers = { 'Idempotency-Key': 'graphql-request' }
  const write = () => client.request(createArtifact, { input: { type: 'key', name: 'Key' } }, headers)
  const [first, second] = [await write(), await write()]
  assert.deepEqual(second, first)
  assert.equal(await count('key'), 1)
})

check('an error of a mutation has its code', async () => {
  const { errors, status } = await failure(client.request(createArtifact, { input: { type: 'Not a slug', name: 'x' } }))
  assert.deepEqual(errors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
  assert.equal(status, 200)
})

check('a rejected document has its code', async () => {
  const { errors, status } = await failure(client.request(invalidDocument))
  assert.deepEqual(errors.map((error) => error.extensions.code), ['GRAPHQL_VALIDATION_FAILED'])
  assert.equal(status, 400)
})

check('the error policy `all` returns the errors beside the data', async () => {
  const query = 'query ($ids: [ID!]!) { nodes(ids: $ids) { id } viewer { __typename } }'
  const tolerant = new GraphQLClient(url, { errorPolicy: 'all' })
  const { data, errors } = await tolerant.rawRequest(query, { ids: ['no id'] })
  assert.deepEqual(data.nodes, [null])
  assert.deepEqual(errors.map((error) => [error.path, error.extensions.code]), [[['nodes', 0], 'BAD_USER_INPUT']])
})

check('an array of operations is rejected as a whole', async () => {
  const batch = { document: createArtifact, variables: { input: { type: 'batch', name: 'Batch' } } }
  const { status } = await failure(client.batchRequests([batch]))
  assert.equal(status, 400)
  assert.equal(await count('batch'), 0)
})

check('an aborted query leaves the client usable', async () => {
  const abort = new AbortController()
  const aborted = client.request({ document: artifactsOfType, variables: { type: 'agent', first: 9 }, signal: abort.signal })
  abort.abort()
  await assert.rejects(aborted, { name: 'AbortError' })
  const { artifacts } = await client.request(artifactsOfType, { type: 'agent', first: 1 })
  assert.equal(artifacts.nodes.length, 1)
})
