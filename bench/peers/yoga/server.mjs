// GraphQL Yoga with a DataLoader for each relationship and request: https://the-guild.dev/graphql/yoga-server/docs
import { createServer } from 'node:http'
import DataLoader from 'dataloader'
import { createSchema, createYoga } from 'graphql-yoga'
import * as catalogue from '../catalogue.mjs'
import { run, settings } from '../workers.mjs'

function loaders() {
  const artifactsOf = new Map()
  return {
    collectionsOf: new DataLoader(catalogue.collectionsOf),
    artifactCount: new DataLoader(catalogue.artifactCounts),
    groupCount: new DataLoader(catalogue.groupCounts),
    // One for each page size, which belongs to the statement.
    artifactsOf(first) {
      if (!artifactsOf.has(first)) {
        artifactsOf.set(first, new DataLoader((ids) => catalogue.artifactsOf(ids, first)))
      }
      return artifactsOf.get(first)
    },
  }
}

const resolvers = {
  Query: {
    artifacts: (_, { first }) => catalogue.artifacts(first),
    collections: (_, { first }) => catalogue.collections(first),
    collection: (_, { id }) => catalogue.collection(id),
  },
  Artifact: {
    collections: ({ id }, _, context) => context.collectionsOf.load(id),
  },
  Collection: {
    artifacts: ({ id }, { first }, context) => context.artifactsOf(first).load(id),
    artifactCount: ({ id }, _, context) => context.artifactCount.load(id),
    groupCount: ({ id }, _, context) => context.groupCount.load(id),
  },
}

run(() => {
  const schema = createSchema({ typeDefs: catalogue.typeDefs, resolvers })
  const yoga = createYoga({ schema, context: loaders, logging: false, graphiql: false })
  createServer(yoga).listen(settings.port, '127.0.0.1')
})
