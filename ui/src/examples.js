/** Queries that the console opens with. */
export const examples = [
  {
    query: `# Fifty artifacts, the collections of each, and how many artifacts those hold:
# three SQL statements, however many there are. Run it and look at the bar below.
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
    query: `# Collections, their first artifacts, and the collections those are in.
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
    query: `# Full-text search, with counts over everything that was found.
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
    query: `# Makes a collection. Each field of a mutation is one transaction.
mutation Make {
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
    query: `# Tells of every change, until it is stopped. Run it, then the mutation in another tab or window.
subscription Follow {
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
