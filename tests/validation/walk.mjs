// Operations derived from a schema.
import {
  getNamedType,
  getNullableType,
  isAbstractType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
  isRequiredArgument,
  isRequiredInputField,
  isLeafType,
} from 'graphql';

const INTS = ['0', '-1', '7', '2147483647', '-2147483648'];
const FLOATS = ['0.0', '-1.5', '1e3', '1E-2', '6.0221413e+23', '3', '1.7976931348623157e308', '-0.0'];
const STRINGS = [
  '""', '"a"', '"with space"', '"esc \\" \\\\ \\/ \\b \\f \\n \\r \\t"', '"\\u0041"', '"\\u{1F600}"', '"\\uD83D\\uDE00"',
  '"é 漢 🦀"', '"# no comment"', '"""block"""', '"""\n    indented\n      more\n    """', '"""with \\""" quotes"""',
  '"""has "one" and ""two"""', '"""\\n is no escape \\u{zz}"""', '"\\u{10FFFF}"', '"\\u{0}"',
];
const ANY = ['1', '1.5', '"x"', 'true', 'null', 'NAME', '[1, "a", [true]]', '{ a: 1, b: { c: [X] } }'];

/** Builds one operation: collects the variables and fragments that its selections use. */
class Builder {
  constructor(schema, random) {
    this.schema = schema;
    this.random = random;
    this.variables = [];
    this.fragments = [];
    this.aliases = 0;
  }

  literal(type, depth = 0) {
    const { random } = this;
    if (isNonNullType(type)) return this.literal(type.ofType, depth);
    if (isListType(type)) {
      if (random.chance(0.15)) return this.literal(type.ofType, depth + 1);
      const items = Array.from({ length: random.below(3) }, () => this.value(type.ofType, depth + 1));
      return `[${items.join(random.pick([', ', ' ', ',']))}]`;
    }
    if (isEnumType(type)) return random.pick(type.getValues()).name;
    if (isInputObjectType(type)) return this.object(type, depth);
    switch (type.name) {
      case 'Int': return random.pick(INTS);
      case 'Float': return random.pick(FLOATS);
      case 'Boolean': return random.pick(['true', 'false']);
      case 'ID': return random.pick(['"a1"', '1', '"0"', '9007199254740993', '"""x"""']);
      case 'String': return random.pick(STRINGS);
      default: return random.pick(ANY);
    }
  }

  object(type, depth) {
    const { random } = this;
    const fields = Object.values(type.getFields());
    const chosen = type.isOneOf
      ? [random.pick(fields)]
      : fields.filter((field) => isRequiredInputField(field) || (depth < 3 && random.chance(0.3)));
    const entry = (field) => {
      const inner = type.isOneOf ? this.literal(field.type, depth + 1) : this.value(field.type, depth + 1);
      return `${field.name}: ${inner}`;
    };
    return `{ ${chosen.map(entry).join(', ')} }`;
  }

  /** A value that may hold null and variables. */
  value(type, depth = 0, hasDefault = false) {
    const { random } = this;
    if (random.chance(0.25)) return this.variable(type, hasDefault);
    if (!isNonNullType(type) && random.chance(0.08)) return 'null';
    return this.literal(type, depth);
  }

  /** A variable that is allowed at a position of this type. */
  variable(type, hasDefault = false) {
    const { random } = this;
    const nullable = getNullableType(type);
    const form = random.below(4);
    if (form === 0 && !isNonNullType(type)) return this.define(`${nullable}!`);
    if (form === 1 && isNonNullType(type)) return this.define(`${nullable} = ${this.constant(nullable)}`);
    if (form === 2 && isNonNullType(type) && hasDefault) return this.define(`${nullable}`);
    return this.define(`${type}`);
  }

  /** A literal without variables. */
  constant(type) {
    const inner = new Builder(this.schema, this.random);
    for (;;) {
      inner.variables = [];
      const text = inner.literal(type, 2);
      if (inner.variables.length === 0) return text;
    }
  }

  define(definition) {
    const name = `v${this.variables.length}`;
    this.variables.push(`$${name}: ${definition}`);
    return `$${name}`;
  }

  args(args, chance = 0.3) {
    const chosen = args.filter((arg) => isRequiredArgument(arg) || this.random.chance(chance));
    if (chosen.length === 0) return '';
    const hasDefault = (arg) => arg.defaultValue !== undefined || arg.default !== undefined;
    const texts = chosen.map((arg) => `${arg.name}: ${this.value(arg.type, 0, hasDefault(arg))}`);
    return `(${texts.join(this.random.pick([', ', ' ']))})`;
  }

  directives() {
    const { random } = this;
    if (!random.chance(0.1)) return '';
    const condition = random.chance(0.5) ? random.pick(['true', 'false']) : this.define(random.pick(['Boolean!', 'Boolean = true', 'Boolean! = false']));
    return random.pick([' @skip', ' @include']) + `(if: ${condition})`;
  }

  field(field, depth) {
    const args = this.args(field.args);
    const named = getNamedType(field.type);
    const isAliased = args !== '' || this.random.chance(0.1);
    this.aliases += 1;
    const alias = isAliased ? `a${this.aliases}: ` : '';
    const selection = isLeafType(named) ? '' : ` ${this.selection(named, depth - 1)}`;
    return `${alias}${field.name}${args}${this.directives()}${selection}`;
  }

  selection(type, depth) {
    const { random } = this;
    const items = [];
    if (random.chance(0.2)) items.push('__typename');
    if ('getFields' in type) {
      const fields = Object.values(type.getFields());
      const usable = depth > 0 ? fields : fields.filter((field) => isLeafType(getNamedType(field.type)));
      for (const field of random.some(usable, 1 + random.below(4))) items.push(this.field(field, depth));
    }
    if (isAbstractType(type) && depth > 0) {
      for (const possible of random.some(this.schema.getPossibleTypes(type), 2)) items.push(this.fragment(possible, depth - 1));
    }
    if (random.chance(0.12) && depth > 0) items.push(this.fragment(type, depth - 1));
    if (items.length === 0) items.push('__typename');
    return `{ ${items.join(random.pick([' ', ', ', '\n']))} }`;
  }

  fragment(type, depth) {
    const { random } = this;
    const selection = this.selection(type, depth);
    if (random.chance(0.5)) {
      const condition = random.chance(0.9) ? ` on ${type}` : '';
      return condition === '' ? `... on ${type}${this.directives()} ${selection}` : `...${condition}${this.directives()} ${selection}`;
    }
    const name = `F${this.fragments.length}`;
    this.fragments.push(`fragment ${name} on ${type} ${selection}`);
    return `...${name}${this.directives()}`;
  }

  document(kind, selection, name = 'Q') {
    const variables = this.variables.length ? `(${this.variables.join(', ')})` : '';
    const isShort = kind === 'query' && variables === '' && this.random.chance(0.3);
    const operation = isShort ? selection : `${kind} ${name}${variables} ${selection}`;
    const parts = [operation, ...this.fragments];
    return (this.random.chance(0.2) ? parts.reverse() : parts).join('\n');
  }
}

function roots(schema) {
  return [
    ['query', schema.getQueryType()],
    ['mutation', schema.getMutationType()],
    ['subscription', schema.getSubscriptionType()],
  ].filter(([, type]) => type);
}

/** Shortest ways from a root to every composite type: the kind of operation, and the fields and conditions between. */
function paths(schema) {
  const found = new Map(roots(schema).map(([kind, type]) => [type.name, { kind, steps: [] }]));
  const queue = roots(schema).map(([, type]) => type);
  while (queue.length > 0) {
    const type = queue.shift();
    const { kind, steps } = found.get(type.name);
    const reach = (next, step) => {
      if (!isCompositeType(next) || found.has(next.name)) return;
      found.set(next.name, { kind, steps: [...steps, step] });
      queue.push(next);
    };
    if ('getFields' in type) for (const field of Object.values(type.getFields())) reach(getNamedType(field.type), { field });
    if (isAbstractType(type)) for (const possible of schema.getPossibleTypes(type)) reach(possible, { on: possible });
  }
  return found;
}

/** Wraps a selection into the steps that lead to it. */
function wrap(builder, steps, selection) {
  return steps.reduceRight((inner, step) => {
    if (step.on) return `{ ... on ${step.on} ${inner} }`;
    return `{ ${step.field.name}${builder.args(step.field.args, 0)} ${inner} }`;
  }, selection);
}

/** One operation for every field, and several for every argument and input field. */
export function* operationsOf(schema, random) {
  for (const [typeName, { kind, steps }] of paths(schema)) {
    const type = schema.getType(typeName);
    if (!('getFields' in type)) continue;
    for (const field of Object.values(type.getFields())) {
      const build = (argument, render) => {
        const builder = new Builder(schema, random);
        const others = field.args.filter((arg) => arg !== argument && isRequiredArgument(arg));
        const texts = others.map((arg) => `${arg.name}: ${builder.literal(arg.type)}`);
        if (argument) texts.push(`${argument.name}: ${render(builder, argument.type)}`);
        const named = getNamedType(field.type);
        const below = isLeafType(named) ? '' : ' { __typename }';
        const args = texts.length ? `(${texts.join(', ')})` : '';
        return builder.document(kind, wrap(builder, steps, `{ ${field.name}${args}${below} }`));
      };
      yield { kind: 'field', text: build() };
      const isPaging = ['first', 'last', 'after', 'before'].includes(argumentName(field));
      for (const argument of field.args) {
        yield { kind: 'argument by literal', text: build(argument, (builder, type) => builder.literal(type)) };
        yield { kind: 'argument by variable', text: build(argument, (builder, type) => builder.define(`${type}`)) };
        if (isPaging && random.chance(0.7)) continue;
        for (const [name, render] of Object.entries(USES)) yield { kind: name, text: build(argument, render) };
      }
      for (const argument of field.args) {
        const input = getNamedType(argument.type);
        if (!isInputObjectType(input)) continue;
        for (const inputField of Object.values(input.getFields())) {
          for (const [name, render] of Object.entries(USES)) {
            if (random.chance(0.4)) continue;
            const object = (builder, type) => inObject(builder, input, inputField, render, type);
            yield { kind: `input field: ${name}`, text: build(argument, object) };
          }
        }
      }
    }
  }
}

const argumentName = (field) => field.args[0]?.name ?? '';

/** Ways to use a variable or literal at a position; some are valid, some depend on the type. */
const USES = {
  'exact variable': (builder, type) => builder.define(`${type}`),
  'nullable variable': (builder, type) => builder.define(`${getNullableType(type)}`),
  'non-null variable': (builder, type) => builder.define(`${getNullableType(type)}!`),
  'variable with default': (builder, type) => builder.define(`${getNullableType(type)} = ${builder.constant(getNullableType(type))}`),
  'variable with null default': (builder, type) => builder.define(`${getNullableType(type)} = null`),
  'variable of item type': (builder, type) => builder.define(`${getNamedType(type)}!`),
  'variable in list': (builder, type) => {
    const nullable = getNullableType(type);
    const item = isListType(nullable) ? nullable.ofType : nullable;
    return `[${builder.define(builder.random.pick([`${item}`, `${getNullableType(item)}`, `${getNullableType(item)}!`]))}]`;
  },
  'variable of list': (builder, type) => builder.define(builder.random.pick([`[${getNullableType(type)}]`, `[${getNullableType(type)}!]!`])),
  'variable of other type': (builder) => builder.define(builder.random.pick(['Int', 'String!', 'Boolean!', '[ID!]', 'Float!'])),
  'literal': (builder, type) => builder.literal(type),
  'null': () => 'null',
};

function inObject(builder, input, inputField, render, type) {
  const others = input.isOneOf ? [] : Object.values(input.getFields()).filter((other) => other !== inputField && isRequiredInputField(other));
  const texts = others.map((other) => `${other.name}: ${builder.literal(other.type)}`);
  texts.push(`${inputField.name}: ${render(builder, inputField.type)}`);
  const object = `{ ${texts.join(', ')} }`;
  return isListType(getNullableType(type)) && builder.random.chance(0.8) ? `[${object}]` : object;
}

/** A random operation with nested selections, fragments, variables and directives. */
export function randomOperation(schema, random) {
  const builder = new Builder(schema, random);
  const [kind, type] = random.chance(0.6) ? roots(schema)[0] : random.pick(roots(schema));
  if (kind === 'subscription') {
    const field = random.pick(Object.values(type.getFields()));
    return builder.document(kind, `{ ${builder.field(field, 3)} }`);
  }
  return builder.document(kind, builder.selection(type, 2 + random.below(3)));
}
