// Mutations of documents: of the syntax tree, and of the text.
import { Kind, getNamedType, isCompositeType, isInputType, parse, print } from 'graphql';

/** Every node of a kind, with the array or object that holds it. */
function collect(root, kinds) {
  const found = [];
  const walk = (node, parent, key) => {
    if (Array.isArray(node)) {
      node.forEach((item, index) => walk(item, node, index));
    } else if (node && typeof node === 'object') {
      if (kinds.includes(node.kind)) found.push({ node, parent, key });
      for (const [key, child] of Object.entries(node)) if (child && typeof child === 'object') walk(child, node, key);
    }
  };
  walk(root, null, null);
  return found;
}

const named = (value) => ({ kind: Kind.NAME, value });
const field = (name, rest = {}) => ({ kind: Kind.FIELD, name: named(name), arguments: [], directives: [], ...rest });
const set = (...selections) => ({ kind: Kind.SELECTION_SET, selections });
const variable = (name) => ({ kind: Kind.VARIABLE, name: named(name) });
const typed = (name) => ({ kind: Kind.NAMED_TYPE, name: named(name) });
const int = (value) => ({ kind: Kind.INT, value: String(value) });
const boolean = (value) => ({ kind: Kind.BOOLEAN, value });
const text = (value) => ({ kind: Kind.STRING, value });
const argument = (name, value) => ({ kind: Kind.ARGUMENT, name: named(name), value });
const directive = (name, ...args) => ({ kind: Kind.DIRECTIVE, name: named(name), arguments: args });
const spread = (name) => ({ kind: Kind.FRAGMENT_SPREAD, name: named(name), directives: [] });
const inline = (on, ...selections) => ({
  kind: Kind.INLINE_FRAGMENT, typeCondition: on ? typed(on) : undefined, directives: [], selectionSet: set(...selections),
});
const fragment = (name, on, ...selections) => ({
  kind: Kind.FRAGMENT_DEFINITION, name: named(name), typeCondition: typed(on), directives: [], selectionSet: set(...selections),
});
const VALUES = [Kind.INT, Kind.FLOAT, Kind.STRING, Kind.BOOLEAN, Kind.NULL, Kind.ENUM, Kind.LIST, Kind.OBJECT, Kind.VARIABLE];
const SELECTIONS = [Kind.FIELD, Kind.INLINE_FRAGMENT, Kind.FRAGMENT_SPREAD];

/** A name that differs in one place. */
function misspelt(name, random) {
  const at = random.below(name.length);
  return random.pick([name + 'x', name.slice(0, at) + 'q' + name.slice(at + 1), name.slice(1) || 'z', name.toUpperCase()]);
}

function otherValue(random) {
  return random.pick([
    () => int(random.pick([1, 0, -1, 2147483648, '-2147483649', '12345678901234567890'])),
    () => ({ kind: Kind.FLOAT, value: random.pick(['1.0', '1.5', '1e40', '2e309']) }),
    () => text(random.pick(['x', '', 'NAME', '1'])),
    () => boolean(random.chance(0.5)),
    () => ({ kind: Kind.NULL }),
    () => ({ kind: Kind.ENUM, value: random.pick(['NAME', 'PUBLIC', 'UNKNOWN', 'dog']) }),
    () => ({ kind: Kind.LIST, values: [] }),
    () => ({ kind: Kind.LIST, values: [int(1), text('a')] }),
    () => ({ kind: Kind.LIST, values: [{ kind: Kind.NULL }] }),
    () => ({ kind: Kind.OBJECT, fields: [] }),
    () => ({ kind: Kind.OBJECT, fields: [{ kind: Kind.OBJECT_FIELD, name: named('a'), value: int(1) }] }),
    () => variable('undefined'),
  ])();
}

/** Each mutation changes the document in place, or returns false when it has nothing to change. */
const AST = {
  'unknown field': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node }) => { node.name.value = misspelt(node.name.value, random); }),
  'other field': (doc, { random, schema }) => on(doc, random, [Kind.FIELD], ({ node }) => {
    const types = Object.values(schema.getTypeMap()).filter((type) => isCompositeType(type) && 'getFields' in type && !type.name.startsWith('__'));
    node.name.value = random.pick(Object.keys(random.pick(types).getFields()));
  }),
  'unknown argument': (doc, { random }) => on(doc, random, [Kind.ARGUMENT], ({ node }) => { node.name.value = misspelt(node.name.value, random); }),
  'added argument': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node }) => { node.arguments.push(argument(random.pick(['first', 'id', 'extra']), int(1))); }),
  'dropped argument': (doc, { random }) => on(doc, random, [Kind.ARGUMENT], ({ parent, key }) => { parent.splice(key, 1); }),
  'duplicate argument': (doc, { random }) => on(doc, random, [Kind.ARGUMENT], ({ node, parent }) => { parent.push(structuredClone(node)); }),
  'other value': (doc, { random }) => on(doc, random, VALUES, ({ parent, key }) => { parent[key] = otherValue(random); }, isNotDefined),
  'value in list': (doc, { random }) => on(doc, random, VALUES, ({ node, parent, key }) => { parent[key] = { kind: Kind.LIST, values: [node] }; }, isNotDefined),
  'enum and string': (doc, { random }) => on(doc, random, [Kind.ENUM, Kind.STRING], ({ node, parent, key }) => {
    if (node.kind === Kind.STRING && !/^[A-Za-z_]\w*$/.test(node.value)) return false;
    parent[key] = node.kind === Kind.ENUM ? text(node.value) : { kind: Kind.ENUM, value: node.value };
    return true;
  }),
  'unknown enum value': (doc, { random }) => on(doc, random, [Kind.ENUM], ({ node }) => { node.value = misspelt(node.value, random); }),
  'duplicate input field': (doc, { random }) => on(doc, random, [Kind.OBJECT_FIELD], ({ node, parent }) => { parent.push(structuredClone(node)); }),
  'unknown input field': (doc, { random }) => on(doc, random, [Kind.OBJECT_FIELD], ({ node }) => { node.name.value = misspelt(node.name.value, random); }),
  'dropped input field': (doc, { random }) => on(doc, random, [Kind.OBJECT_FIELD], ({ parent, key }) => { parent.splice(key, 1); }),
  'added input field': (doc, { random }) => on(doc, random, [Kind.OBJECT], ({ node }) => {
    const value = random.pick([int(1), text('x'), { kind: Kind.NULL }, variable('undefined')]);
    node.fields.push({ kind: Kind.OBJECT_FIELD, name: named(random.pick(['id', 'name', 'from', 'number', 'search', 'any'])), value });
  }),
  'undefined variable': (doc, { random }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ parent, key }) => { parent.splice(key, 1); }),
  'unused variable': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => { define(node, 'unused', typed('Int')); }),
  'duplicate variable': (doc, { random }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ node, parent }) => { parent.push(structuredClone(node)); }),
  'swapped variables': (doc, { random }) => on(doc, random, [Kind.VARIABLE], ({ node }) => { node.name.value = `v${random.below(3)}`; }, isNotDefined),
  'variable type: nullable': (doc, { random }) => on(doc, random, [Kind.NON_NULL_TYPE], ({ node, parent, key }) => { parent[key] = node.type; }),
  'variable type: non-null': (doc, { random }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ node }) => {
    if (node.type.kind === Kind.NON_NULL_TYPE) return false;
    node.type = { kind: Kind.NON_NULL_TYPE, type: node.type };
    return true;
  }),
  'variable type: list': (doc, { random }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ node }) => { node.type = { kind: Kind.LIST_TYPE, type: node.type }; }),
  'variable type: other': (doc, { random, schema }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ node }) => {
    const inputs = Object.values(schema.getTypeMap()).filter(isInputType).map((type) => type.name);
    node.type = typed(random.pick([...inputs, 'Query', 'Unknown', 'Node', 'Animal']));
  }),
  'default of variable': (doc, { random }) => on(doc, random, [Kind.VARIABLE_DEFINITION], ({ node }) => {
    const value = otherValue(random);
    if (value.kind === Kind.VARIABLE) return false;
    node.defaultValue = value;
    return true;
  }),
  'unknown type condition': (doc, { random }) => on(doc, random, [Kind.INLINE_FRAGMENT, Kind.FRAGMENT_DEFINITION], ({ node }) => {
    node.typeCondition = typed(random.pick(['Unknown', 'String', 'Artifac', 'AnimalBy', 'ArtifactFilter', 'Kind']));
  }),
  'other type condition': (doc, { random, schema }) => on(doc, random, [Kind.INLINE_FRAGMENT, Kind.FRAGMENT_DEFINITION], ({ node }) => {
    const types = Object.values(schema.getTypeMap()).filter((type) => isCompositeType(type) && !type.name.startsWith('__'));
    node.typeCondition = typed(random.pick(types).name);
  }),
  'inline fragment': (doc, { random, schema }) => on(doc, random, [Kind.SELECTION_SET], ({ node }) => {
    const types = Object.values(schema.getTypeMap()).filter((type) => isCompositeType(type) && !type.name.startsWith('__'));
    node.selections.push(inline(random.pick([null, random.pick(types).name]), field('__typename')));
  }),
  'unknown fragment': (doc, { random }) => on(doc, random, [Kind.SELECTION_SET], ({ node }) => { node.selections.push(spread(random.pick(['Nope', 'F9']))); }),
  'unused fragment': (doc, { random, schema }) => { doc.definitions.push(fragment('Unused', random.pick([schema.getQueryType().name, 'Artifact', 'Dog']), field('__typename'))); },
  'duplicate fragment': (doc, { random }) => on(doc, random, [Kind.FRAGMENT_DEFINITION], ({ node }) => { doc.definitions.push(structuredClone(node)); }),
  'fragment cycle': (doc, { random }) => on(doc, random, [Kind.FRAGMENT_DEFINITION], ({ node }) => {
    const sets = collect(node, [Kind.SELECTION_SET]);
    random.pick(sets).node.selections.push(spread(random.chance(0.5) ? node.name.value : 'F0'));
  }),
  'extracted fragment': (doc, { random, schema }) => extract(doc, random, schema),
  'leaf with selection': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node }) => {
    if (node.selectionSet) return false;
    node.selectionSet = set(field(random.pick(['id', '__typename', 'x'])));
    return true;
  }),
  'object without selection': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node }) => {
    if (!node.selectionSet) return false;
    node.selectionSet = undefined;
    return true;
  }),
  'same key, other arguments': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node, parent }) => {
    const copy = structuredClone(node);
    if (copy.arguments.length > 0 && random.chance(0.6)) random.pick(copy.arguments).value = otherValue(random);
    else if (copy.arguments.length > 0) copy.arguments.splice(random.below(copy.arguments.length), 1);
    else copy.arguments.push(argument('first', int(2)));
    insert(parent, copy, random);
  }),
  'same key, other field': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node, parent }) => {
    const others = parent.filter((other) => other !== node && other.kind === Kind.FIELD);
    if (others.length === 0) return false;
    const other = random.pick(others);
    insert(parent, { ...structuredClone(node), alias: named(other.alias?.value ?? other.name.value) }, random);
    return true;
  }),
  'same key, below': (doc, { random }) => on(doc, random, [Kind.FIELD], ({ node, parent }) => {
    if (!node.selectionSet) return false;
    const copy = structuredClone(node);
    const inner = collect(copy.selectionSet, [Kind.FIELD]);
    if (inner.length < 2) return false;
    random.pick(inner).node.alias = named(random.pick(inner).node.name.value);
    insert(parent, copy, random);
    return true;
  }),
  'merged again': (doc, { random }) => on(doc, random, SELECTIONS, ({ node, parent }) => { insert(parent, structuredClone(node), random); }),
  'anonymous operation': (doc) => { doc.definitions.push({ kind: Kind.OPERATION_DEFINITION, operation: 'query', variableDefinitions: [], directives: [], selectionSet: set(field('__typename')) }); },
  'duplicate operation': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => { doc.definitions.push(structuredClone(node)); }),
  'second operation': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => {
    const copy = structuredClone(node);
    copy.name = named('Second');
    if (random.chance(0.5)) copy.variableDefinitions = copy.variableDefinitions.slice(1);
    doc.definitions.push(copy);
  }),
  'other operation type': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => { node.operation = random.pick(['query', 'mutation', 'subscription']); }),
  'root of subscription': (doc, { random, schema }) => {
    const fields = Object.keys(schema.getSubscriptionType().getFields());
    const root = (name) => ({ ...field(name), selectionSet: set(field('__typename')), ...(name === 'collectionChanged' ? { arguments: [argument('id', text('a'))] } : {}) });
    const first = root(random.pick(fields));
    const more = random.pick([
      () => root(random.pick(fields)),
      () => field('__typename'),
      () => field('__typename', { alias: named(first.name.value) }),
      () => inline(null, root(random.pick(fields))),
      () => inline('Subscription', { ...root(random.pick(fields)), alias: named('other') }),
      () => ({ ...root(random.pick(fields)), directives: [directive('skip', argument('if', boolean(false)))] }),
      () => ({ ...field('__schema'), selectionSet: set(field('__typename')) }),
    ])();
    doc.definitions = [{ kind: Kind.OPERATION_DEFINITION, operation: 'subscription', variableDefinitions: [], directives: [], selectionSet: set(...random.pick([[first, more], [more], [inline(null, first, more)]])) }];
  },
  'directive': (doc, { random }) => on(doc, random, [...SELECTIONS, Kind.OPERATION_DEFINITION, Kind.FRAGMENT_DEFINITION, Kind.VARIABLE_DEFINITION], ({ node }) => {
    const made = random.pick([
      () => directive('unknown'),
      () => directive('skp', argument('if', boolean(true))),
      () => directive('skip'),
      () => directive('skip', argument('if', text('true'))),
      () => directive('include', argument('if', { kind: Kind.NULL })),
      () => directive('include', argument('unless', boolean(true)), argument('if', boolean(true))),
      () => directive('skip', argument('if', boolean(true)), argument('if', boolean(true))),
      () => directive('include', argument('if', variable('v0'))),
      () => directive('deprecated'),
      () => directive('specifiedBy', argument('url', text('x'))),
      () => directive('oneOf'),
      () => directive('tagged', argument('name', text('t'))),
      () => directive('tagged', argument('weight', text('t'))),
      () => directive('once'),
      () => directive('limits', argument('range', variable('v0'))),
      () => directive('limits', argument('sizes', { kind: Kind.LIST, values: [int(1), variable('v0')] })),
    ]);
    node.directives.push(made());
    if (random.chance(0.3)) node.directives.push(random.chance(0.5) ? structuredClone(node.directives[0]) : made());
  }),
  'condition by variable': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => {
    const type = random.pick([typed('Boolean'), { kind: Kind.NON_NULL_TYPE, type: typed('Boolean') }, typed('String'), { kind: Kind.LIST_TYPE, type: typed('Boolean') }]);
    const name = define(node, 'condition', type, random.chance(0.3) ? boolean(true) : undefined);
    const { node: selection } = random.pick(collect(doc, SELECTIONS));
    selection.directives.push(directive(random.pick(['skip', 'include']), argument('if', variable(name))));
  }),
  'introspection': (doc, { random }) => on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => {
    const type = { ...field('__type'), arguments: [argument('name', text('Query'))], selectionSet: set(field('name'), { ...field('fields'), selectionSet: set(field('name'), { ...field('type'), selectionSet: set(field(random.pick(['name', 'kind', 'ofTyp']))) }) }) };
    const made = random.pick([type, { ...field('__schema'), selectionSet: set({ ...field('types'), selectionSet: set(field(random.pick(['name', 'nme']))) }) }, { ...type, arguments: [] }]);
    node.selectionSet.selections.push(made);
  }),
};

function isNotDefined({ parent }) {
  return parent?.kind !== Kind.VARIABLE_DEFINITION;
}

function on(doc, random, kinds, change, filter = () => true) {
  const found = collect(doc, kinds).filter(filter);
  return found.length > 0 && change(random.pick(found)) !== false;
}

/** Adds a selection beside others, directly or in a fragment without condition. */
function insert(selections, selection, random) {
  const at = random.below(selections.length + 1);
  selections.splice(at, 0, random.chance(0.3) ? inline(null, selection) : selection);
}

function define(operation, name, type, defaultValue) {
  operation.variableDefinitions.push({ kind: Kind.VARIABLE_DEFINITION, variable: variable(name), type, defaultValue, directives: [] });
  return name;
}

/** Moves the selections of a field into a fragment on some type. */
function extract(doc, random, schema) {
  return on(doc, random, [Kind.OPERATION_DEFINITION], ({ node }) => {
    const root = { query: schema.getQueryType(), mutation: schema.getMutationType(), subscription: schema.getSubscriptionType() }[node.operation];
    let [type, selection] = [root, node.selectionSet];
    while (type && 'getFields' in type) {
      const inner = selection.selections.find((item) => item.kind === Kind.FIELD && item.selectionSet && type.getFields()[item.name.value]);
      if (!inner || random.chance(0.4)) break;
      [type, selection] = [getNamedType(type.getFields()[inner.name.value].type), inner.selectionSet];
    }
    doc.definitions.push(fragment('Extracted', type.name, ...structuredClone(selection.selections)));
    if (random.chance(0.5)) selection.selections = [];
    selection.selections.push(spread('Extracted'));
  });
}

/** The tree with empty lists instead of absent ones. */
function normalise(doc) {
  for (const { node } of collect(doc, [...SELECTIONS, Kind.OPERATION_DEFINITION, Kind.FRAGMENT_DEFINITION, Kind.VARIABLE_DEFINITION])) {
    node.directives ??= [];
    if (node.kind === Kind.FIELD) node.arguments ??= [];
    if (node.kind === Kind.OPERATION_DEFINITION) node.variableDefinitions ??= [];
  }
  return doc;
}

/** The document after one mutation of its tree, or nothing when it is no document or nothing fits. */
export function mutateAst(schema, source, random) {
  let original;
  try {
    original = normalise(parse(source, { noLocation: true }));
  } catch {
    return undefined;
  }
  for (let attempt = 0; attempt < 8; attempt += 1) {
    const [kind, mutate] = random.pick(Object.entries(AST));
    const doc = structuredClone(original);
    if (mutate(doc, { random, schema }) !== false) return { kind, text: print(doc) };
  }
  return undefined;
}

const TOKEN = /"""(?:\\"""|[^])*?"""|"(?:\\.|[^"\\\n])*"|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[{}()[\]:=!$@|&]/g;
const CHARACTERS = ['{', '}', '(', ')', '[', ']', ':', '!', '$', '@', '=', '|', '&', '...', '..', '.', '?', '%', '^', '~', ';', "'", '`', '\\', '/', '<', '#', ',', '"', '"""', '\u0000', '\u0007', '\u007f', '\u00a0', '\u2028', '\ufeff', 'é', '🦀', '0', '-', 'x', 'on', 'null', '""', '{}', '()'];
const STRINGS = ['"\\q"', '"\\u12"', '"\\u{}"', '"\\u{110000}"', '"\\uD83D"', '"\\uDE00"', '"\\uD83D\\u0041"', '"\\u{D83D}"', '"\\u{0000041}"', '"a\nb"', '"open', '"""open', '"\\', '"\\x41"', '"tab\there"', '"\u0000"', '"\\uD83D\\u{DE00}"', '"\\u{1F600"'];
const NUMBERS = ['1a', '1.', '.5', '01', '-', '-01', '1.e1', '1e', '1e+', '0x1F', '1.5.2', '1_000', '1.0f', '+1', '00', '1e1.0', '-a', '1"a"', '1...', '0.0e-0', '123456789012345678901234567890'];

/** Each mutation turns the tokens of a document into a text. */
const TEXT = {
  'token deleted': (tokens, random) => { tokens.splice(random.below(tokens.length), 1); },
  'token doubled': (tokens, random) => { const at = random.below(tokens.length); tokens.splice(at, 0, tokens[at]); },
  'tokens swapped': (tokens, random) => { const at = random.below(tokens.length - 1); [tokens[at], tokens[at + 1]] = [tokens[at + 1], tokens[at]]; },
  'character inserted': (tokens, random) => { tokens.splice(random.below(tokens.length + 1), 0, random.pick(CHARACTERS)); },
  'token replaced': (tokens, random) => { tokens[random.below(tokens.length)] = random.pick(CHARACTERS); },
  'truncated': (tokens, random) => { tokens.length = 1 + random.below(tokens.length); },
  'string replaced': (tokens, random) => replace(tokens, random, (token) => token.startsWith('"'), STRINGS),
  'number replaced': (tokens, random) => replace(tokens, random, (token) => /^-?\d/.test(token), NUMBERS),
  'value replaced by number': (tokens, random) => replace(tokens, random, (token) => token.startsWith('"') || /^(true|false|null)$/.test(token), NUMBERS),
};

function replace(tokens, random, matches, replacements) {
  const at = tokens.flatMap((token, index) => (matches(token) ? [index] : []));
  tokens[at.length > 0 ? random.pick(at) : random.below(tokens.length)] = random.pick(replacements);
}

const SEPARATORS = [' ', ' ', '\n', '\t', ', ', '\r\n', ' # comment { " \n', '\ufeff'];

/** The document after one mutation of its tokens, which may leave it valid. */
export function mutateText(source, random) {
  const tokens = source.match(TOKEN) ?? ['{'];
  if (random.chance(0.15)) {
    return { kind: 'ignored tokens', text: tokens.map((token) => token + random.pick(SEPARATORS)).join('') };
  }
  const [kind, mutate] = random.pick(Object.entries(TEXT));
  mutate(tokens, random);
  return { kind, text: tokens.join(' ') };
}
