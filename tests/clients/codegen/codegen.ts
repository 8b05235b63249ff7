import type { CodegenConfig } from '@graphql-codegen/cli'

const config: CodegenConfig = {
  schema: process.env.GATHERUM_URL,
  documents: ['src/program.ts'],
  importExtension: '.js',
  generates: {
    './src/gql/': { preset: 'client', presetConfig: { persistedDocuments: true } },
  },
}

export default config
