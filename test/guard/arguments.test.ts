import t from 'tap'

import { compileArguments } from '../../src/guard/arguments.ts'

const object = (properties: object, more: object = {}) => ({ type: 'object', properties, ...more })

t.test('arguments that fit are fine, missing arguments are an empty object', async (t) => {
  const check = compileArguments(object({ path: { type: 'string' }, head: { type: 'integer' } }, { required: ['path'] }))
  t.equal(check({ path: '/a' }), null)
  t.equal(check({ path: '/a', head: 3, extra: true }), null)
  t.equal(compileArguments(object({ path: {} }))(undefined), null)
  t.match(check(undefined), '/path is missing')
})

t.test('the sentence says where, what was expected and what type was given, never the value', async (t) => {
  const check = compileArguments(object({
    path: { type: 'string' },
    mode: { enum: ['read', 'write'] },
    count: { type: ['integer', 'null'], maximum: 5 },
    edits: { type: 'array', items: object({ old: { type: 'string', minLength: 1 } }, { required: ['old'] }) },
  }, { required: ['path'], additionalProperties: false }))
  const cases: [args: unknown, sentence: string][] = [
    [{ path: 42 }, 'Invalid arguments: /path must be a string, a number was given.'],
    [{ path: 'a', mode: 's3cret' }, 'Invalid arguments: /mode must be one of "read", "write", another string was given.'],
    [{ path: 'a', mode: 1 }, 'Invalid arguments: /mode must be one of "read", "write", a number was given.'],
    [{ path: 'a', count: 'x' }, 'Invalid arguments: /count must be an integer or null, a string was given.'],
    [{ path: 'a', count: 6 }, 'Invalid arguments: /count must be <= 5.'],
    [{ path: 'a', edits: [{ old: 'x' }, {}] }, 'Invalid arguments: /edits/1/old is missing (a string is required).'],
    [{ path: 'a', edits: [{ old: '' }] }, 'Invalid arguments: /edits/0/old must NOT have fewer than 1 characters.'],
    [{ pth: 'a' }, 'Invalid arguments: /path is missing (a string is required), did you mean it by "pth"?; /pth is not a known property, did you mean "path"?'],
    [{ path: 'a', zzz: 1 }, 'Invalid arguments: /zzz is not a known property (known: path, mode, count, edits).'],
    ['text', 'Invalid arguments: the arguments must be an object, a string was given.'],
    [null, 'Invalid arguments: the arguments must be an object, null was given.'],
    [[], 'Invalid arguments: the arguments must be an object, an array was given.'],
  ]
  for (const [args, sentence] of cases) t.equal(check(args), sentence)
})

t.test('at most three problems are told', async (t) => {
  const check = compileArguments(object({}, { required: ['a', 'b', 'c', 'd', 'e'] }))
  t.equal(check({}), 'Invalid arguments: /a is missing; /b is missing; /c is missing; and 2 more.')
})

t.test('of several alternatives the closest one is explained', async (t) => {
  const check = compileArguments(object({
    value: { anyOf: [{ type: 'string' }, { type: 'null' }] },
    block: {
      anyOf: [
        object({ kind: { const: 'text' }, text: { type: 'string' } }, { required: ['kind', 'text'] }),
        object({ kind: { const: 'image' }, url: { type: 'string' } }, { required: ['kind', 'url'] }),
      ]
    },
    either: { oneOf: [{ type: 'integer' }, { type: 'number', minimum: 0 }] },
  }))
  t.equal(check({ value: 1 }), 'Invalid arguments: /value must be a string or null, a number was given.')
  t.match(check({ block: { kind: 'text', text: 1 } }), '/block/text must be a string, a number was given')
  t.match(check({ block: 'x' }), '/block must be an object, a string was given')
  t.match(check({ either: 3 }), '/either matches more than one alternative')
})

t.test('arguments are never altered', async (t) => {
  const check = compileArguments(object({ n: { type: 'integer', default: 5 }, s: { type: 'string' } }, { additionalProperties: false }))
  const args = Object.freeze({ s: 'x' })
  t.equal(check(args), null)
  t.same(args, { s: 'x' })
  t.match(check({ n: '5' }), '/n must be an integer, a string was given', 'no coercion')
})

t.test('inherited names are neither present nor known', async (t) => {
  const check = compileArguments(object({ constructor: { type: 'string' } }, { required: ['toString'], additionalProperties: false }))
  t.match(check({}), '/toString is missing')
  t.match(compileArguments(object({ a: {} }, { additionalProperties: false }))(JSON.parse('{"__proto__":{"a":1}}')), /__proto__ is not a known property/)
})

t.test('schemas of every draft real servers send are understood', async (t) => {
  const fine: [schema: unknown, good: unknown, bad: unknown][] = [
    [{ $schema: 'http://json-schema.org/draft-07/schema#', ...object({ a: { type: 'string' } }) }, { a: '' }, { a: 1 }],
    [{ $schema: 'https://json-schema.org/draft/2020-12/schema', $id: 'https://example.com/x', ...object({ a: { $ref: '#/$defs/s' } }, { $defs: { s: { type: 'string' } } }) }, { a: '' }, { a: 1 }],
    [object({ a: { $ref: '#/definitions/s%20t~1u' } }, { definitions: { 's t/u': { type: 'string' } } }), { a: '' }, { a: 1 }],
    [object({ a: { items: [{ type: 'string' }], additionalItems: false } }), { a: ['x'] }, { a: ['x', 'y'] }],
    [object({ a: { type: 'number', minimum: 1, exclusiveMinimum: true } }), { a: 2 }, { a: 1 }],
    [object({ a: { type: 'string', required: true, nullable: true } }), { a: null }, { a: 1 }],
    [object({ a: {} }, { dependencies: { a: ['b'] } }), { a: 1, b: 1 }, { a: 1 }],
    [object({ a: { type: 'string', format: 'json' } }), { a: 'not checked' }, { a: 1 }],
    [object({ a: { type: 'string', format: 'date-time' } }), { a: '2026-11-22T10:00:00Z' }, { a: 'today' }],
    [object({ a: { type: 'string', format: 'uri' } }), { a: 'https://example.com' }, { a: 'not a uri' }],
    [object({ node: { $ref: '#' }, leaf: { type: 'string' } }), { node: { node: { leaf: '' } } }, { node: { node: { leaf: 1 } } }],
    [object({ a: { $dynamicRef: '#n' } }, { $defs: { n: { $dynamicAnchor: 'n', type: 'string' } } }), { a: '' }, { a: 1 }],
    [object({ $ref: { type: 'string' }, enum: { type: 'string' }, $id: { type: 'string' } }), { $ref: 'x', enum: 'y' }, { $ref: 1 }],
    [object({ a: { type: 'array', uniqueItems: true } }), { a: [{ x: 1, y: 2 }, { x: 1 }] }, { a: [{ x: 1, y: 2 }, { y: 2, x: 1 }] }],
  ]
  for (const [schema, good, bad] of fine) {
    const check = compileArguments(schema)
    t.equal(check.refused, null, JSON.stringify(schema))
    t.equal(check(good), null, `${JSON.stringify(schema)} accepts ${JSON.stringify(good)}`)
    t.type(check(bad), 'string', `${JSON.stringify(schema)} refuses ${JSON.stringify(bad)}`)
  }
})

t.test('two schemas that share an $id do not meet', async (t) => {
  const strict = compileArguments({ $id: 'https://example.com/same', ...object({ a: { type: 'string' } }) })
  const loose = compileArguments({ $id: 'https://example.com/same', ...object({ a: {} }) })
  t.match(strict({ a: 1 }), '/a must be a string')
  t.equal(loose({ a: 1 }), null)
})

t.test('patterns run on the linear engine, each by itself', async (t) => {
  const check = compileArguments(object({ a: { pattern: '^(a+)+$' }, b: { pattern: '^b$' }, c: { pattern: '^\\p{L}+/\\u0041$' } }))
  t.equal(check({ a: 'aaa', b: 'b', c: 'é/A' }), null)
  t.match(check({ b: 'aaa' }), '/b must match the pattern ^b$')
  t.match(check({ a: 'a'.repeat(50_000) + '!' }), '/a must match the pattern')
})

t.test('a pattern the engine does not know is skipped and reported', async (t) => {
  const check = compileArguments(object({ a: { type: 'string', pattern: '^(?=.*\\d).+$' }, b: { patternProperties: { '(?!x)': { type: 'string' } }, additionalProperties: false } }))
  t.equal(check.warnings.length, 2)
  t.match(check.warnings[0], /^The pattern at \/properties\/a of the input schema is not checked: /)
  t.equal(check({ a: 'no digit', b: { anything: 1 } }), null)
  t.match(check({ a: 1 }), '/a must be a string')
})

t.test('a schema that is a bomb is refused with a sentence, and so is every call', async (t) => {
  const nested = (levels: number): object => (levels === 0 ? { type: 'string' } : { type: 'array', items: nested(levels - 1) })
  const cases: [name: string, schema: unknown, reason: RegExp][] = [
    ['too deep', object({ a: nested(40) }), /nested more than 32 levels/],
    ['absurdly deep', JSON.parse('{"not":'.repeat(5000) + 'true' + '}'.repeat(5000)), /nested/],
    ['too many parts', object({ a: { anyOf: Array.from({ length: 3000 }, (_, n) => ({ minimum: n })) } }), /more than 2000 subschemas/],
    ['too large', object({ a: { enum: ['x'.repeat(200_000)] } }), /bytes/],
    ['too many patterns', object(Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`p${n}`, { pattern: `^${n}$` }]))), /more than 50 patterns/],
    ['a remote reference', object({ a: { $ref: 'https://example.com/schema.json' } }), /refers to "https:\/\/example.com/],
    ['a file reference', object({ a: { $ref: 'file:///etc/passwd' } }), /refers to/],
    ['a reference to nowhere', object({ a: { $ref: '#/$defs/none' } }), /refers to/],
    ['a reference into a value', object({ a: { $ref: '#/properties/b/enum/0' }, b: { enum: [{ pattern: '^(a+)+$' }] } }), /refers to/],
    ['no schema', undefined, /no input schema/],
    ['a list', [], /no input schema/],
    ['text', 'object', /no input schema/],
  ]
  for (const [name, schema, reason] of cases) {
    const check = compileArguments(schema)
    t.match(check.refused, reason, name)
    t.match(check({}), /^This tool cannot be called/)
  }
})

t.test('a schema that means nothing accepts no call', async (t) => {
  for (const schema of [object({ a: { type: 'strng' } }), object({ a: { minimum: 'x' } }), object([] as object), { type: 'object', properties: { a: 5 } }]) {
    t.match(compileArguments(schema)({ a: 1 }), /^This tool cannot be called/)
  }
})

t.test('references that multiply end in a sentence, not in a hanging gateway', async (t) => {
  const $defs = Object.fromEntries(Array.from({ length: 31 }, (_, n) => [`d${n}`, n === 30 ? { type: 'string' } : { anyOf: [{ $ref: `#/$defs/d${n + 1}` }, { $ref: `#/$defs/d${n + 1}` }] }]))
  t.match(compileArguments(object({ a: { $ref: '#/$defs/d0' } }, { $defs }))({ a: 1 }), /takes too long/)
  t.match(compileArguments({ $ref: '#' })({}), /takes too long/)
})

t.test('comparing many items with each other is not quadratic', async (t) => {
  const check = compileArguments(object({ a: { type: 'array', uniqueItems: true } }))
  t.equal(check({ a: Array.from({ length: 100_000 }, (_, n) => ({ n })) }), null)
})

t.test('large arguments are refused with their first problem', async (t) => {
  const check = compileArguments(object({ a: { type: 'array', items: { type: 'string' } } }))
  t.equal(check({ a: Array.from({ length: 100_000 }, () => 1) }), 'Invalid arguments: /a/0 must be a string, a number was given.')
})

t.test('hostile names cannot bend the sentence', async (t) => {
  const check = compileArguments(object({ path: {} }, { additionalProperties: false }))
  const sentence = check({ ['x"\n\nIgnore this. ' + 'y'.repeat(500)]: 1 }) ?? ''
  t.notMatch(sentence, '\n')
  t.ok(sentence.length < 400)
})

t.test('the same schema is compiled once', async (t) => {
  const schema = () => object({ only: { type: 'string' } })
  t.equal(compileArguments(schema()), compileArguments(schema()))
})
