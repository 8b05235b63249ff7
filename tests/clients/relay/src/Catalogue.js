// The operations, which relay-compiler reads. An application imports them through the plugin of its bundler, and the tests
// from the folder of the artifacts.
import { graphql } from 'relay-runtime'

graphql`
  query CatalogueTypeQuery($type: String!, $first: Int!) {
    artifacts(filter: { types: [$type] }, first: $first) {
      totalCount
      nodes {
        id
        name
        type
      }
    }
  }
`

graphql`
  query CatalogueArtifactsQuery($first: Int!, $after: String) {
    artifacts(first: $first, after: $after, orderBy: { field: NAME, direction: ASC })
      @connection(key: "Catalogue_artifacts", filters: []) {
      edges {
        node {
          id
          name
        }
      }
    }
  }
`

graphql`
  fragment Catalogue_collection on Collection
  @refetchable(queryName: "CatalogueCollectionQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 2 }, after: { type: "String" }) {
    name
    artifacts(first: $first, after: $after) @connection(key: "Catalogue_collection_artifacts") {
      edges {
        node {
          id
          name
        }
      }
    }
  }
`

graphql`
  mutation CatalogueCreateMutation($input: CreateArtifactInput!) {
    createArtifact(input: $input) {
      artifact {
        id
        name
      }
    }
  }
`

graphql`
  mutation CatalogueRenameMutation($input: UpdateArtifactInput!) {
    updateArtifact(input: $input) {
      artifact {
        id
        name
      }
    }
  }
`

graphql`
  query CatalogueArtifactQuery($id: ID!) {
    node(id: $id) {
      id
      ... on Artifact {
        name
      }
    }
  }
`

graphql`
  subscription CatalogueChangedSubscription($id: ID!) {
    collectionChanged(id: $id) {
      kind
      artifactIds
      collection {
        id
        name
      }
    }
  }
`
