import query from './shared.graphql?raw';

const PREFIX = '#shared=';

/** Initial properties of GraphiQL for a share link. Removes the token from the address bar, where others could see it. */
export function sharedLinkProps() {
  if (!location.hash.startsWith(PREFIX)) {
    return {};
  }
  const token = location.hash.slice(PREFIX.length);
  history.replaceState(null, '', location.pathname);
  return { initialQuery: query, initialVariables: JSON.stringify({ token }, null, 2) };
}
