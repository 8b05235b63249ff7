import { addTrustedDocuments, artifactCount, check, count, createCollection, url } from '../catalogue.mjs'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ClientError, GraphQLClient } from 'graphql-request'
import { invalidDocument } from '../documents.mjs'

const here = dirname(fileURLToPath(import.meta.url))

// Runs a program of a package.
const run = (name, ...args) => execFileSync(join(here, '../node_modules/.bin', name), args, { cwd: here, stdio: 'pipe' })

let program
const client = new GraphQLClient(url)

check('the types are generated from the introspection of the server, and the program compiles', async () => {
  run('graphql-codegen')
  run('tsc')
  program = await import('./compiled/program.js')
})

check('a query with variables', async () => {
  const [first, ...others] = await program.namesOfType(client, 'skill', 1)
  assert.equal(others.length, 0)
  assert.deepEqual([first.type, first.visibility, first.tags.length], ['skill', 'PUBLIC', 2])
})

check('every page of a list', async () => {
  const ids = new Set(await program.allIds(client, 7))
  assert.ok(ids.size >= artifactCount, `${ids.size}`)
})

check('a field of an interface has the type of its object', async () => {
  const id = await createCollection('generated')
  assert.equal(await program.artifactCountOf(client, id), 0)
})

check('a mutation writes once', async () => {
  const { createArtifact } = await program.create(client, 'once', 'Once')
  assert.equal(createArtifact.artifact.revision, 1)
  assert.equal(await count('once'), 1)
})

async function codes(promise) {
  const error = await promise.then(() => assert.fail('a result'), (error) => error)
  assert.ok(error instanceof ClientError, error)
  return error.response.errors.map((error) => error.extensions.code)
}

check('an error of a mutation has its code', async () => {
  assert.deepEqual(await codes(program.create(client, 'Not a slug', 'x')), ['BAD_USER_INPUT'])
})

check('a rejected document has its code', async () => {
  assert.deepEqual(await codes(client.request(invalidDocument)), ['GRAPHQL_VALIDATION_FAILED'])
})

check('trusted documents, with the manifest that the preset writes', async () => {
  addTrustedDocuments(join(here, 'src/gql/persisted-documents.json'))
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ documentId: program.ArtifactsOfType.__meta__.hash, variables: { type: 'skill', first: 1 } }),
  })
  const { data, errors } = await response.json()
  assert.equal(errors, undefined)
  assert.equal(data.artifacts.nodes.length, 1)
})
