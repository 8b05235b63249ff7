const at = (id) => document.getElementById(id);

at('query').value = `query Artifacts {
  artifacts(first: 10) {
    nodes { id name type collections { nodes { name artifactCount } } }
  }
}`;

const PREFIX = '#shared=';
if (location.hash.startsWith(PREFIX)) {
  at('variables').value = JSON.stringify({ token: location.hash.slice(PREFIX.length) });
  at('query').value = `query Shared($token: String!) {
  shared(token: $token) {
    target {
      ... on Artifact { type name description }
      ... on Collection { name description artifacts { nodes { type name } } }
    }
  }
}`;
  history.replaceState(null, '', location.pathname);
}

async function run(event) {
  event?.preventDefault();
  try {
    const variables = JSON.parse(at('variables').value || '{}');
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', 'x-gatherum-stats': '1' },
      body: JSON.stringify({ query: at('query').value, variables }),
    });
    const { extensions, ...answer } = await response.json();
    at('answer').textContent = JSON.stringify(answer, null, 2);
    const report = extensions?.gatherum;
    at('report').textContent = report
      ? `${report.statements} SQL statements in ${report.rounds} rounds · ${report.rows} rows · ` +
        `database ${report.dbMs.toFixed(1)} ms · total ${report.totalMs.toFixed(1)} ms`
      : 'the query was not executed';
  } catch (error) {
    at('answer').textContent = String(error);
  }
}

at('form').addEventListener('submit', run);
at('form').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) run(event);
});
at('schema').textContent = await (await fetch('/schema.graphql')).text();
