import t from 'tap'
import { Refusal } from '../../src/errors.ts'
import { parseStrict, rawArguments } from '../../src/protocol/strict-json.ts'

const parse = (text: string | Buffer): ReturnType<typeof parseStrict> => parseStrict(Buffer.from(text as string))

function refusal (text: string | Buffer): Refusal {
  try {
    parse(text)
  } catch (error) {
    if (error instanceof Refusal) return error
  }
  throw new Error(`accepted: ${text}`)
}

t.test('plain JSON has one meaning and is accepted', async (t) => {
  for (const text of ['{}', '[]', '{"a":{"a":1},"b":[{"a":1},{"a":2}]}', '{"a\\"b":1,"a":"\\\\"}', '{"__proto__":{"x":1}}', ' {"text":"a:b,{}[]\\"c\\":1"} ']) {
    t.same(parse(text).value, JSON.parse(text), text)
  }
})

t.test('71: a member named twice is refused wherever it stands, also when it is spelled with an escape', async (t) => {
  for (const text of ['{"name":"safe","name":"danger"}', '{"params":{"name":"a","x":[{"b":1,"b":2}]}}', '{"name":1,"n\\u0061me":2}', '{"__proto__":1,"__proto__":2}']) {
    t.match(refusal(text), { code: 'PORTCULLIS_INVALID_REQUEST', message: /same member twice/ }, text)
  }
})

t.test('what is not UTF-8 JSON is refused with the reason', async (t) => {
  t.match(refusal(Buffer.from([0x7b, 0xff, 0x7d])), { code: 'PORTCULLIS_PARSE_ERROR', message: /not valid UTF-8/ })
  t.match(refusal('\uFEFF{}'), { code: 'PORTCULLIS_PARSE_ERROR', message: /byte order mark/ })
  t.match(refusal(''), { code: 'PORTCULLIS_PARSE_ERROR', message: /empty/ })
  t.match(refusal('{"a":'), { code: 'PORTCULLIS_PARSE_ERROR', message: /not valid JSON/ })
  t.match(refusal('{"a":1}x'), { code: 'PORTCULLIS_PARSE_ERROR' })
})

t.test('83: nesting is bounded, and very deep nesting does not break the gateway', async (t) => {
  t.ok(parse('['.repeat(64) + ']'.repeat(64)))
  t.match(refusal('['.repeat(65) + ']'.repeat(65)), { code: 'PORTCULLIS_INVALID_REQUEST', message: /65 levels/ })
  t.match(refusal('['.repeat(200_000) + ']'.repeat(200_000)), { code: 'PORTCULLIS_INVALID_REQUEST' })
})

t.test('83: numbers that parsing would change are noticed', async (t) => {
  for (const number of ['9007199254740993', '1.0', '1e400', '-0', '0.1', '1E5']) t.equal(parse(`{"n":${number}}`).exotic, true, number)
  for (const text of ['{"n":123456789}', '{"n":-5}', '{"s":"1.0 and 9007199254740993"}', '{"n":true,"m":false}']) t.equal(parse(text).exotic, false, text)
})

t.test('48, 83: raw arguments are cut out as they were sent, on one line', async (t) => {
  t.equal(rawArguments('{"params":{"name":"arguments","arguments": {"n": 9007199254740993,\n "s":"}\\""} , "_meta":{}}}'), '{"n": 9007199254740993,  "s":"}\\""}')
  t.equal(rawArguments('{"arguments":{"decoy":1},"params":{"x":{"arguments":2},"arguments":[1.0]}}'), '[1.0]')
  t.equal(rawArguments('{"params":{"name":"x"}}'), undefined)
})

t.test('a quarter of a megabyte of quotes and backslashes is scanned in linear time', async (t) => {
  const evil = JSON.stringify({ a: '\\"'.repeat(60_000), b: '\\'.repeat(60_000) })
  t.same(parse(evil).value, JSON.parse(evil))
})
