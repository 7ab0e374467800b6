import t from 'tap'

import { CopyDecoder } from '../../db/copy-binary.ts'

type Field = string | null

/** What COPY … (FORMAT binary) sends for these rows. */
function copyOf (rows: readonly (readonly Field[])[], extension = ''): Buffer {
  return Buffer.concat([header(extension), ...rows.map(row => Buffer.concat([int16(row.length), ...row.map(field)])), int16(-1)])
}

function header (extension = ''): Buffer {
  return Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), int32(0), int32(extension.length), Buffer.from(extension)])
}

function field (value: Field): Buffer {
  return value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)])
}

function int16 (value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32 (value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** What a decoder shows when these chunks come in. */
function decode (fields: number, chunks: readonly Buffer[]): Field[][] {
  const rows: Field[][] = []
  const decoder = new CopyDecoder(fields, (bytes, _view, starts, lengths) => {
    rows.push(Array.from(starts, (start, n) => (lengths[n] ?? 0) < 0 ? null : bytes.toString('utf8', start, start + (lengths[n] ?? 0))))
  })
  for (const chunk of chunks) decoder.take(chunk)
  decoder.end()
  return rows
}

const rows: Field[][] = [['one', null, ''], [null, null, null], ['ünï', 'x'.repeat(70), 'two'], ['', '', 'three']]
const whole = copyOf(rows)

t.test('rows come out as they went in, wherever the chunks end', async t => {
  t.strictSame(decode(3, [whole]), rows)
  for (let cut = 0; cut <= whole.length; cut++) t.strictSame(decode(3, [whole.subarray(0, cut), whole.subarray(cut)]), rows, `cut at ${cut}`)
  for (const size of [1, 2, 3, 5, 19, 64]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, n) => whole.subarray(n * size, (n + 1) * size))
    t.strictSame(decode(3, chunks), rows, `chunks of ${size}`)
  }
})

t.test('a copy of no rows, and one with an extension in its header, are read', async t => {
  t.strictSame(decode(3, [copyOf([])]), [])
  const extended = copyOf(rows, 'unknown to us')
  for (let cut = 0; cut <= extended.length; cut++) t.strictSame(decode(3, [extended.subarray(0, cut), extended.subarray(cut)]), rows)
})

t.test('the view that a row comes with shows the same bytes', async t => {
  const seen: number[] = []
  const decoder = new CopyDecoder(1, (_bytes, view, starts) => { seen.push(view.getInt32(starts[0] ?? 0)) })
  const padded = Buffer.concat([Buffer.from('before'), copyOf([['\0\0\u0001\u0002']])])
  decoder.take(padded.subarray('before'.length))
  decoder.end()
  t.strictSame(seen, [258])
})

t.test('what is no copy, or not the copy that was asked for, is an error', async t => {
  t.throws(() => decode(3, [Buffer.from('something else altogether')]), { message: /something else than a binary copy/ })
  t.throws(() => decode(2, [whole]), { message: /rows of 3 fields, and not of 2/ })
  t.throws(() => decode(3, [whole, Buffer.from('x')]), { message: /more than it said/ })
  t.throws(() => decode(3, [Buffer.concat([whole, Buffer.from('x')])]), { message: /more than it said/ })
  for (let cut = 0; cut < whole.length; cut++) t.throws(() => decode(3, [whole.subarray(0, cut)]), { message: /in the middle of a copy/ }, `ends at ${cut}`)
})
