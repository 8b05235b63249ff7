import { defineConfig } from 'vite';

export default defineConfig({
  // The page is opened at /graphql and at /graphiql alike.
  base: '/graphiql/',
  worker: { format: 'es' },
  build: { assetsInlineLimit: 0, chunkSizeWarningLimit: 8000, modulePreload: { polyfill: false } },
});
