import {
  addTrustedDocuments,
  artifactCount,
  check,
  checkEverySubscriptionHasEnded,
  checkSubscription,
  count,
  createArtifact,
  execute,
  hasDocument,
  recorded,
  socketUrl,
  url,
} from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createClient } from 'graphql-ws'
import relay from 'relay-runtime'
import WebSocket from 'ws'
import { unknownCollection } from '../documents.mjs'

const { Environment, Network, Observable, RecordSource, Store } = relay
const { commitMutation, createOperationDescriptor, fetchQuery, getRequest, requestSubscription } = relay

const here = dirname(fileURLToPath(import.meta.url))

// Compiles the operations of `src` with the schema of the server.
async function compile() {
  const schema = await (await fetch(url.replace('/graphql', '/schema.graphql'))).text()
  writeFileSync(`${here}/schema.graphql`, schema)
  const compiler = join(here, '../node_modules/.bin/relay-compiler')
  for (const folder of ['__generated__', '__persisted__']) {
    rmSync(`${here}/${folder}`, { recursive: true, force: true })
    mkdirSync(`${here}/${folder}`)
  }
  writeFileSync(`${here}/persisted.json`, '{}')
  for (const config of ['relay.config.json', 'relay.persisted.config.json']) {
    execFileSync(compiler, [config], { cwd: here, stdio: 'pipe' })
  }
}

await compile()

// Returns an operation that was compiled.
const artifact = async (name, folder = '__generated__') => (await import(`./${folder}/${name}.graphql.js`)).default

// The functions of a network layer as the documentation of Relay has them.
const fetchFunction = (headers) => async (params, variables) => {
  const body = params.id ? { documentId: params.id, variables } : { query: params.text, variables }
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/graphql-response+json, application/json', ...headers },
    body: JSON.stringify(body),
  })
  return response.json()
}

const subscribeFunction = (client) => (params, variables) =>
  Observable.create((sink) => client.subscribe({ operationName: params.name, query: params.text, variables }, sink))

const newEnvironment = ({ headers, client } = {}) =>
  new Environment({
    network: Network.create(fetchFunction(headers), client && subscribeFunction(client)),
    store: new Store(new RecordSource()),
  })

// Executes a mutation, and returns its data and errors as Relay passes them on.
const mutate = (environment, mutation, variables) =>
  new Promise((resolve, reject) => {
    const onCompleted = (data, errors) => resolve({ data, errors })
    commitMutation(environment, { mutation, variables, onCompleted, onError: reject })
  })

check('a query with variables', async () => {
  const query = await artifact('CatalogueTypeQuery')
  const data = await fetchQuery(newEnvironment(), query, { type: 'skill', first: 2 }).toPromise()
  assert.deepEqual(data.artifacts.nodes.map((node) => node.type), ['skill', 'skill'])
})

check('every page of a list', async () => {
  const query = await artifact('CatalogueArtifactsQuery')
  const environment = newEnvironment()
  const operation = createOperationDescriptor(getRequest(query), { first: 7 })
  const retained = environment.retain(operation)
  let page = { hasNextPage: true, endCursor: null }
  while (page.hasNextPage) {
    await fetchQuery(environment, query, { first: 7, after: page.endCursor }).toPromise()
    page = environment.lookup(operation.fragment).data.artifacts.pageInfo
  }
  const { edges } = environment.lookup(operation.fragment).data.artifacts
  const ids = new Set(edges.map((edge) => edge.node.id))
  retained.dispose()
  assert.equal(ids.size, edges.length)
  assert.ok(ids.size >= artifactCount, `${ids.size}`)
})

check('a fragment is refetched by its node', async () => {
  const query = await artifact('CatalogueCollectionQuery')
  const { collections } = await execute('{ collections(first: 1) { nodes { id name } } }')
  const [{ id, name }] = collections.nodes
  const environment = newEnvironment()
  await fetchQuery(environment, query, { id, first: 3 }).toPromise()
  const records = environment.getStore().getSource()
  assert.equal(records.get(id).name, name)
  assert.equal(records.get(id).__typename, 'Collection')
})

check('a mutation writes once', async () => {
  const mutation = await artifact('CatalogueCreateMutation')
  const write = () => mutate(newEnvironment(), mutation, { input: { type: 'once', name: 'Once' } })
  const { result, requests } = await recorded(write)
  assert.equal(result.errors, null)
  assert.equal(result.data.createArtifact.artifact.name, 'Once')
  assert.equal(requests.length, 1)
  assert.equal(await count('once'), 1)
})

check('a repeated mutation with an idempotency key writes once', async () => {
  const mutation = await artifact('CatalogueCreateMutation')
  const headers = { 'Idempotency-Key': 'relay' }
  const write = () => mutate(newEnvironment({ headers }), mutation, { input: { type: 'key', name: 'Key' } })
  const [first, second] = [await write(), await write()]
  assert.deepEqual(second, first)
  assert.equal(await count('key'), 1)
})

check('a mutation updates a query that is watched', async () => {
  const id = await createArtifact('watched', 'before')
  const environment = newEnvironment()
  const query = await artifact('CatalogueArtifactQuery')
  const operation = createOperationDescriptor(getRequest(query), { id })
  const retained = environment.retain(operation)
  await fetchQuery(environment, query, { id }).toPromise()
  const names = []
  const watched = environment.subscribe(environment.lookup(operation.fragment), ({ data }) => names.push(data.node.name))
  const rename = await artifact('CatalogueRenameMutation')
  await mutate(environment, rename, { input: { id, name: 'after' } })
  watched.dispose()
  retained.dispose()
  assert.deepEqual(names, ['after'])
})

check('an error of a mutation has its code', async () => {
  const mutation = await artifact('CatalogueCreateMutation')
  const failed = mutate(newEnvironment(), mutation, { input: { type: 'Not a slug', name: 'x' } })
  const errors = await failed.then(({ errors }) => errors, (error) => error.source.errors)
  assert.deepEqual(errors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
})

check('a rejected document has its code', async () => {
  // Relay compiles only valid documents. An application that is older than the server can send another one.
  const query = structuredClone(await artifact('CatalogueTypeQuery'))
  query.params.text = query.params.text.replace('totalCount', 'totalCount unknown')
  const error = await fetchQuery(newEnvironment(), query, { type: 'skill', first: 1 })
    .toPromise()
    .then(() => assert.fail('a result'), (error) => error)
  assert.deepEqual(error.source.errors.map((error) => error.extensions.code), ['GRAPHQL_VALIDATION_FAILED'])
})

check('trusted documents, with the manifest that the compiler writes', async () => {
  addTrustedDocuments(`${here}/persisted.json`)
  const query = await artifact('CatalogueTypeQuery', '__persisted__')
  assert.equal(query.params.text, null)
  const variables = { type: 'skill', first: 2 }
  const { result, requests } = await recorded(() => fetchQuery(newEnvironment(), query, variables).toPromise())
  assert.equal(result.artifacts.nodes.length, 2)
  assert.deepEqual(requests.map(hasDocument), [false])
  const mutation = await artifact('CatalogueCreateMutation', '__persisted__')
  await mutate(newEnvironment(), mutation, { input: { type: 'persisted', name: 'Persisted' } })
  assert.equal(await count('persisted'), 1)
})

const newClient = () => createClient({ url: socketUrl, webSocketImpl: WebSocket })

check('a subscription by graphql-ws', async () => {
  const subscription = await artifact('CatalogueChangedSubscription')
  const client = newClient()
  const environment = newEnvironment({ client })
  await checkSubscription('events', (id, events) => {
    const options = { subscription, variables: { id }, onNext: (data) => events.push(data), onError: (error) => events.end(error) }
    const { dispose } = requestSubscription(environment, options)
    return dispose
  })
  await client.dispose()
})

check('an error of a subscription by graphql-ws has its code', async () => {
  const subscription = await artifact('CatalogueChangedSubscription')
  const client = newClient()
  const errors = await new Promise((resolve, reject) => {
    requestSubscription(newEnvironment({ client }), {
      subscription,
      variables: { id: unknownCollection },
      onNext: reject,
      onError: resolve,
    })
  })
  assert.deepEqual(errors.map((error) => error.extensions.code), ['BAD_USER_INPUT'])
  await client.dispose()
})

checkEverySubscriptionHasEnded()
