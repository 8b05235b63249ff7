import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import './page.css';

import { GraphiQL } from 'graphiql';
import { getOperationAST } from 'graphql';
import { createClient } from 'graphql-ws';
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';

import { examples } from './examples.js';
import { opened } from './share.js';
import { show } from './report.js';

/** What the headers of the last request said of who asks; a socket takes it over when it is opened. */
let authorization;

const socket = createClient({
  url: `${location.origin.replace(/^http/, 'ws')}/graphql/ws`,
  connectionParams: () => (authorization ? { authorization } : {}),
});

/** Follows subscriptions over a socket, and asks all else. */
function fetcher(parameters, options) {
  const { documentAST: document } = options ?? {};
  const headers = Object.entries(options?.headers ?? {});
  authorization = headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1];
  const operation = document && getOperationAST(document, parameters.operationName);
  return operation?.operation === 'subscription' ? socket.iterate(parameters) : ask(parameters, options);
}

/** Asks the server, with the report of what the answer cost, which goes into the bar below and not into the answer. */
async function ask(parameters, options) {
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
  const answer = await response.json();
  if (parameters.operationName !== 'IntrospectionQuery') {
    show(answer.extensions?.gatherum);
  }
  return answer;
}

createRoot(document.getElementById('console')).render(
  createElement(GraphiQL, { fetcher, defaultTabs: examples, defaultEditorToolsVisibility: 'variables', ...opened() }),
);
