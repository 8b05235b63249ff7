// The operations that every client executes.

export const artifactsOfType =
  'query ArtifactsOfType($type: String!, $first: Int!) { artifacts(filter: { types: [$type] }, first: $first) { totalCount nodes { id name type } } }'

export const pageOfArtifacts =
  'query PageOfArtifacts($first: Int!, $after: String) { artifacts(first: $first, after: $after, orderBy: { field: NAME, direction: ASC }) { nodes { id name } pageInfo { hasNextPage endCursor } } }'

export const createArtifact =
  'mutation CreateArtifact($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id name type revision } } }'

// Not valid for the schema.
export const invalidDocument = 'query Invalid { artifacts { nodes { unknown } } }'

// Valid; the server rejects the id.
export const unknownCollection = 'collection_unknown'
