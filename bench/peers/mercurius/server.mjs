// Mercurius with its loaders and its just-in-time compiler: https://mercurius.dev/#/docs/loaders
import Fastify from 'fastify'
import mercurius from 'mercurius'
import * as catalogue from '../catalogue.mjs'
import { run, settings } from '../workers.mjs'

const ids = (queries) => queries.map(({ obj }) => obj.id)
// Statements ask for distinct keys, so the loaders' own cache would only cost time.
const opts = { cache: false }

const resolvers = {
  Query: {
    artifacts: (_, { first }) => catalogue.artifacts(first),
    collections: (_, { first }) => catalogue.collections(first),
    collection: (_, { id }) => catalogue.collection(id),
  },
}

const loaders = {
  Artifact: {
    collections: { loader: (queries) => catalogue.collectionsOf(ids(queries)), opts },
  },
  Collection: {
    artifacts: { loader: (queries) => catalogue.artifactsOf(ids(queries), queries[0].params.first), opts },
    artifactCount: { loader: (queries) => catalogue.artifactCounts(ids(queries)), opts },
    groupCount: { loader: (queries) => catalogue.groupCounts(ids(queries)), opts },
  },
}

run(async () => {
  const app = Fastify()
  app.register(mercurius, { schema: catalogue.typeDefs, resolvers, loaders, jit: 1 })
  await app.listen({ port: settings.port, host: '127.0.0.1' })
})
