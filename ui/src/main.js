import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './page.css';

import { GraphiQL } from 'graphiql';
import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';

import { examples } from './examples.js';
import { showReport } from './report.js';
import { sharedLinkProps } from './share.js';

/** The Authorization header of the last request, which new WebSocket connections send too. */
let authorization;

const socket = createClient({
  url: `${location.origin.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => (authorization ? { authorization } : {}),
});

/** Runs subscriptions over a WebSocket and all other operations over HTTP. */
function fetcher(parameters, options) {
  const { documentAST: document } = options ?? {};
  const headers = Object.entries(options?.headers ?? {});
  authorization = headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1];
  const operation = document && getOperationAST(document, parameters.operationName);
  return operation?.operation === 'subscription' ? socket.iterate(parameters) : post(parameters, options);
}

/** Sends an operation and shows its cost report in the bar at the bottom. */
async function post(parameters, options) {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json, application/json',
      'x-gatherum-stats': '1',
      ...options?.headers,
    },
    body: JSON.stringify(parameters),
  });
  const result = await response.json();
  if (parameters.operationName !== 'IntrospectionQuery') {
    showReport(result.extensions?.gatherum);
  }
  return result;
}

createRoot(document.getElementById('console')).render(
  createElement(GraphiQL, { fetcher, defaultTabs: examples, defaultEditorToolsVisibility: 'variables', ...sharedLinkProps() }),
);
