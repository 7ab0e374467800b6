import t from 'tap'
import { outline } from '../../src/protocol/json-bytes.ts'

const membersOf = (text: string): Record<string, unknown> | undefined => {
  const bytes = Buffer.from(text)
  const read = outline(bytes, 0)
  return read?.end === bytes.length ? Object.fromEntries([...read.members].map(([name, [from, to]]) => [name, JSON.parse(bytes.toString('utf8', from, to))])) : undefined
}

const objects = [
  '{}', '{ }', '{"a":1}', ' {"a":1}', '{"a":1,"a":2}', '{"a":-0.5e+10,"b":[1,{"c":"}"}],"d":true,"e":null,"f":false}', '{"a":"\\"\\\\\\u00e9\\n","ü":"é€😀"}', '{"a" : [ ] , "b":\t{ }}',
  '{"a":01}', '{"a":1.}', '{"a":.5}', '{"a":+1}', '{"a":1e}', '{"a":-}', '{"a":tru}', '{"a":"\\x"}', '{"a":"\\u12g4"}', '{"a":"\u0001"}', '{"a":"tab\there"}', '{"a":1,}', '{,}', '{"a"}', '{"a":}', '{a:1}', '{"a":[1,]}', '{"a":[1 2]}',
  '{"a":1', '{"a":"', '{"a":"\\', '{"a":"\\u12', '{"a":1}}', '{"a":1}{}', '[1]', '', '{"a":NaN}', "{'a':1}",
]

t.test('an object is read from bytes exactly where JSON.parse reads it', async (t) => {
  for (const text of objects) {
    let expected: unknown
    try { expected = JSON.parse(text.startsWith('{') ? text : '!') } catch { expected = undefined }
    t.strictSame(membersOf(text), expected, text)
  }
  t.equal(membersOf('{"\\u0061":1}'), undefined, 'names that are written with escapes are left to others')
  t.equal(membersOf(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), undefined, 'and so is what would exhaust the stack')
})

t.test('whatever is changed in valid JSON, bytes and JSON.parse agree', async (t) => {
  const text = '{"content":[{"type":"text","text":"a \\"b\\" \\u00e9"}],"isError":false,"n":-1.5e3}'
  let disagreements = 0
  for (let at = 0; at < text.length; at++) {
    for (const other of ['', '"', '\\', '{', '}', '[', ']', ',', ':', '0', 'e', '\n', '\u0000', ' ']) {
      const changed = text.slice(0, at) + other + text.slice(at + 1)
      let valid = changed.startsWith('{')
      try { JSON.parse(changed) } catch { valid = false }
      const read = membersOf(changed) !== undefined
      // Escaped names are not read; nothing else may differ.
      if (read !== valid && !/"[^"]*\\[^"]*" *:/.test(changed)) disagreements++
    }
  }
  t.equal(disagreements, 0)
})
