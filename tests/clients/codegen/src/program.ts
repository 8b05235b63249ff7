// A program with the types that graphql-codegen generates. The comments `@ts-expect-error` fail the compilation if the types
// accept more than the schema.
import { GraphQLClient } from 'graphql-request'
import { graphql } from './gql/gql.js'

export const ArtifactsOfType = graphql(`
  query ArtifactsOfType($type: String!, $first: Int!) {
    artifacts(filter: { types: [$type] }, first: $first) {
      totalCount
      nodes {
        id
        name
        type
        description
        visibility
        tags {
          slug
        }
      }
    }
  }
`)

export const PageOfArtifacts = graphql(`
  query PageOfArtifacts($first: Int!, $after: String) {
    artifacts(first: $first, after: $after, orderBy: { field: NAME, direction: ASC }) {
      edges {
        cursor
        node {
          id
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
  }
`)

export const CreateArtifact = graphql(`
  mutation CreateArtifact($input: CreateArtifactInput!) {
    createArtifact(input: $input) {
      artifact {
        id
        name
        revision
      }
    }
  }
`)

export const NodeOfCatalogue = graphql(`
  query NodeOfCatalogue($id: ID!) {
    node(id: $id) {
      __typename
      id
      ... on Collection {
        artifactCount
      }
    }
  }
`)

// Returns the names of artifacts, and their descriptions in upper case.
export async function namesOfType(client: GraphQLClient, type: string, first: number) {
  const { artifacts } = await client.request(ArtifactsOfType, { type, first })
  return artifacts.nodes.map((node) => {
    const visibility: 'PRIVATE' | 'PUBLIC' | 'UNLISTED' = node.visibility
    // @ts-expect-error: a description can be null.
    void (() => node.description.toUpperCase())
    // @ts-expect-error: the field is not selected.
    void node.content
    return { name: node.name, type: node.type, visibility, tags: node.tags.map((tag) => tag.slug) }
  })
}

// Returns the ids of all artifacts, page by page.
export async function allIds(client: GraphQLClient, first: number) {
  const ids: string[] = []
  let after: string | null = null
  for (;;) {
    const page: Awaited<ReturnType<typeof pageAfter>> = await pageAfter(client, first, after)
    ids.push(...page.edges.map((edge) => edge.node.id))
    if (!page.pageInfo.hasNextPage) return ids
    after = page.pageInfo.endCursor
  }
}

async function pageAfter(client: GraphQLClient, first: number, after: string | null) {
  return (await client.request(PageOfArtifacts, { first, after })).artifacts
}

// Creates an artifact.
export function create(client: GraphQLClient, type: string, name: string) {
  // @ts-expect-error: the name is required.
  void (() => client.request(CreateArtifact, { input: { type } }))
  return client.request(CreateArtifact, { input: { type, name, tags: ['generated'] } })
}

// Returns the number of artifacts if the object is a collection.
export async function artifactCountOf(client: GraphQLClient, id: string) {
  const { node } = await client.request(NodeOfCatalogue, { id })
  return node?.__typename === 'Collection' ? node.artifactCount : undefined
}
