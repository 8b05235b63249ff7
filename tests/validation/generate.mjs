// Writes the corpus: documents and what graphql-js says of them.
//
// Documents are made from two schemas: the catalogue's (../../schema.graphql, without descriptions) and zoo.graphql.
// Every field, argument and input field is visited once; random operations and mutations of all of them follow. The
// random numbers are seeded, so that the same schemas and the same graphql-js give the same files.
//
//   npm ci && npm run generate
import { readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { buildSchema, getIntrospectionQuery, graphqlSync, parse, print, specifiedRules, validate, version, visit } from 'graphql';
import { mutateAst, mutateText } from './mutate.mjs';
import { handwritten } from './handwritten.mjs';
import { Random } from './random.mjs';
import { operationsOf, randomOperation } from './walk.mjs';

const RANDOM_OPERATIONS = 220;
const AST_MUTATIONS = 2;
const TEXT_MUTATIONS_EVERY = 3;
const DOCUMENT_LENGTH_MAX = 6_000;

/** The grammar of the specification of September 2025: graphql-js 17 accepts `{ }` otherwise. */
const STRICT = { allowEmptySelectionSets: false };

const here = new URL('./', import.meta.url);
const read = (name) => readFileSync(new URL(name, here), 'utf8');

const withoutDescriptions = (sdl) => print(visit(parse(sdl), { enter: (node) => ({ ...node, description: undefined }) }));
const catalogue = withoutDescriptions(read('../../schema.graphql'));
writeFileSync(new URL('catalogue.graphql', here), catalogue + '\n');
const schemas = { catalogue: buildSchema(catalogue), zoo: buildSchema(read('zoo.graphql')) };

/** The verdict of graphql-js: `parse` for a syntax error, else the names of the violated rules. */
function verdict(schema, text) {
  let document;
  try {
    document = parse(text, STRICT);
  } catch {
    return 'parse';
  }
  const violates = (rule) => validate(schema, document, [rule], { ...STRICT, maxErrors: 1 }).length > 0;
  return specifiedRules.filter(violates).map((rule) => rule.name.replace(/Rule$/, '')).sort();
}

const seen = new Set();
const cases = [];
function add(name, kind, text) {
  const key = name + '\0' + text;
  if (text.length > DOCUMENT_LENGTH_MAX || !text.isWellFormed() || seen.has(key)) return;
  seen.add(key);
  cases.push({ schema: name, kind, text, verdict: verdict(schemas[name], text) });
}

for (const [name, schema] of Object.entries(schemas)) {
  const random = new Random(name === 'catalogue' ? 15 : 51);
  const bases = [];
  for (const { kind, text } of operationsOf(schema, random)) {
    add(name, kind, text);
    bases.push(text);
  }
  for (let number = 0; number < RANDOM_OPERATIONS; number += 1) {
    const text = randomOperation(schema, random);
    add(name, 'random', text);
    bases.push(text, text);
  }
  bases.forEach((text, index) => {
    for (let count = 0; count < AST_MUTATIONS; count += 1) {
      const mutated = mutateAst(schema, text, random);
      if (mutated) add(name, mutated.kind, mutated.text);
    }
    if (index % TEXT_MUTATIONS_EVERY === 0) {
      const mutated = mutateText(text, random);
      add(name, mutated.kind, mutated.text);
    }
  });
}
for (const [schema, kind, text] of handwritten) add(schema, kind, text);

/** Compresses the same way on every machine: the operating system's byte of the header would differ. */
function writePacked(name, text) {
  const packed = gzipSync(text, { level: 9 });
  packed[9] = 255;
  writeFileSync(new URL(name, here), packed);
  return packed.length;
}

const lines = [{ graphql: version, documents: cases.length }, ...cases].map((line) => JSON.stringify(line));
const bytes = writePacked('corpus.jsonl.gz', lines.join('\n') + '\n');

const query = getIntrospectionQuery({ oneOf: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true, inputValueDeprecation: true });
const answers = Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, graphqlSync({ schema, source: query }).data]));
writePacked('introspection.json.gz', JSON.stringify({ query, answers }));

const counts = {};
for (const { verdict } of cases) {
  for (const rule of verdict === 'parse' ? ['(syntax error)'] : verdict.length ? verdict : ['(valid)']) {
    counts[rule] = (counts[rule] ?? 0) + 1;
  }
}
console.log(`${cases.length} documents, ${bytes} bytes, graphql-js ${version}`);
for (const [rule, count] of Object.entries(counts).sort((a, b) => b[1] - a[1])) console.log(`${String(count).padStart(6)} ${rule}`);
