import { PassThrough } from 'node:stream'
import { finished } from 'node:stream/promises'
import t from 'tap'
import { readStderr } from '../../src/upstreams/stderr.ts'

async function lines (chunks: readonly (string | Buffer)[], secrets: readonly string[] = []): Promise<string[]> {
  const stream = new PassThrough()
  const got: string[] = []
  readStderr(stream, secrets, (line, level) => got.push(`${level} ${line}`))
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  await finished(stream)
  return got
}

t.test('lines have the level they seem to have', async (t) => {
  t.same(await lines([
    'Server running on stdio\n', '[ERROR] no such table\n', 'TypeError: x is not a function\n', '2026-11-24 12:00:00 WARN slow\n',
    '{"level":50,"msg":"bad"}\n', '{"level":"debug","msg":"x"}\n', '(node:12) ExperimentalWarning: x\n', 'no errors found\n', 'no line break at the end',
  ]), [
    'info Server running on stdio', 'error [ERROR] no such table', 'error TypeError: x is not a function', 'warn 2026-11-24 12:00:00 WARN slow',
    'error {"level":50,"msg":"bad"}', 'debug {"level":"debug","msg":"x"}', 'warn (node:12) ExperimentalWarning: x', 'info no errors found', 'info no line break at the end',
  ])
})

t.test('T20, T54: secrets, colours and control characters stay out, also across chunks', async (t) => {
  t.same(await lines(['token=s3cr', 'et-value; \u001b[31mred\u001b[0m\r\u0007\n'], ['s3cret-value', 'id']), ['info token=[redacted]; red'])
  const euro = Buffer.from('€')
  t.same(await lines([euro.subarray(0, 1), euro.subarray(1)]), ['info €'])
})

t.test('T47: a flood is cut, and what was left out is said', async (t) => {
  const got = await lines(['x\n'.repeat(5_000)])
  t.equal(got.length, 101)
  t.equal(got.at(-1), 'warn (4900 more lines were left out)')
  t.same(await lines(['y'.repeat(100_000)]), [`info ${'y'.repeat(4096)}`])
})
