/** Example operations in the initial tabs of GraphiQL. */
export const examples = [
  {
    query: `# 50 artifacts, the collections of each, and the artifact count of each collection: three SQL
# statements, independent of the amount of data. Run it and look at the bar at the bottom.
query Artifacts {
  artifacts(first: 50) {
    nodes {
      id
      name
      type
      collections {
        nodes {
          id
          name
          artifactCount
        }
      }
    }
  }
}
`,
  },
  {
    query: `# Collections, the first artifacts of each, and the other collections of these artifacts.
query Collections {
  collections(first: 10) {
    nodes {
      id
      name
      artifactCount
      artifacts(first: 10) {
        nodes {
          id
          name
          collections {
            nodes {
              name
              artifactCount
            }
          }
        }
      }
    }
  }
}
`,
  },
  {
    query: `# Full-text search with facet counts over all matches.
query Search($words: String!) {
  artifacts(first: 10, filter: { search: $words }) {
    totalCount
    facets {
      types {
        value
        artifactCount
      }
      tags(first: 5) {
        value
        artifactCount
      }
    }
    edges {
      cursor
      node {
        name
        type
        description(maxLength: 60)
        tags {
          name
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`,
    variables: '{ "words": "file" }',
  },
  {
    query: `# Collections with their groups.
query Groups {
  collections(first: 20) {
    nodes {
      name
      groupCount
      groups {
        nodes {
          name
          position
          artifactCount
        }
      }
    }
  }
}
`,
  },
  {
    query: `# Creates a collection. Each field of a mutation runs in its own transaction.
mutation CreateCollection {
  createCollection(input: { name: "My shelf" }) {
    collection {
      id
      revision
    }
  }
}
`,
  },
  {
    query: `# Receives every change until stopped. Run it, then run the mutation in another tab.
subscription CatalogChanged {
  catalogChanged {
    kind
    nodeId
    node {
      __typename
    }
  }
}
`,
  },
];
