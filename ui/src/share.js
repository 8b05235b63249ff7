import query from './shared.graphql?raw';

const PREFIX = '#shared=';

/** What GraphiQL begins with where a link was opened; its token leaves the address, which others may look at. */
export function opened() {
  if (!location.hash.startsWith(PREFIX)) {
    return {};
  }
  const token = location.hash.slice(PREFIX.length);
  history.replaceState(null, '', location.pathname);
  return { initialQuery: query, initialVariables: JSON.stringify({ token }, null, 2) };
}
