import { setTimeout as sleep } from 'node:timers/promises'

import t from 'tap'
import type { Test } from 'tap'

import type { Database } from '../../db/connect.ts'
import { auditSearch, auditShow, auditTail } from '../../src/commands/audit.ts'
import type { SearchOptions } from '../../src/commands/audit.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { intent, outcome, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

async function shipped (ledger: Ledger): Promise<void> {
  while (ledger.status.lagRecords > 0) await sleep(10)
}

async function printed (run: (out: (text: string) => void) => Promise<number>): Promise<{ text: string, code: number }> {
  let text = ''
  const code = await run(chunk => { text += chunk })
  return { text, code }
}

/** Alice's two calls, bob's refused one, and a log-in. */
async function example (t: Test): Promise<Database> {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  ledger.append(intent('a1', { args: '{"path":"/data/Report.md"}', client: 'sdk/1' }))
  ledger.append(outcome('a1'))
  ledger.append(intent('a2', { target: 'write_file' }))
  ledger.append(outcome('a2', { outcome: 'timeout', code: 'PORTCULLIS_TIMEOUT' }))
  ledger.append({ kind: 'refusal', record: 'b1', principal: { id: 'id-of-bob', name: 'bob' }, upstream: 'github', target: 'push', method: 'tools/call', decision: 'deny', rule: 'default', outcome: 'refused', code: 'PORTCULLIS_UNKNOWN_TARGET' })
  ledger.append({ kind: 'login', record: 'l1', source: '10.1.1.1', outcome: 'ok' })
  await ledger.close()
  return database
}

t.test('tail prints the newest attempts in aligned columns, oldest first', async t => {
  const database = await example(t)
  const { text, code } = await printed(async out => await auditTail({ database, out }, { lines: '3' }))
  t.equal(code, 0)
  const lines = text.trimEnd().split('\n')
  t.match(lines[0], /^TIME +RECORD +USER +WHAT +OUTCOME +MS +WHY$/)
  t.match(lines.slice(1), [/ a2 +alice +files\/write_file +timeout +12\.4 +PORTCULLIS_TIMEOUT user:0 files\/\*$/, / b1 +bob +github\/push +refused +PORTCULLIS_UNKNOWN_TARGET default$/, / l1 +10\.1\.1\.1 +login +ok$/])
  const column = lines[0]?.indexOf('OUTCOME') ?? 0
  t.strictSame(lines.slice(1).map(line => line.slice(column).split(' ')[0]), ['timeout', 'refused', 'ok'])
})

t.test('a row says why also where no rule decided: of a server that ended, of a connection, of an error, of a change', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  ledger.append({ kind: 'upstream', record: 'u1', upstream: 'files', outcome: 'crashed', detail: { owner: 'alice', event: 'exit', pid: 7, exit: 'SIGKILL', reason: 'memory', detail: 'It used more than 512 MiB.' } })
  ledger.append({ kind: 'upstream', record: 'u2', upstream: 'files', outcome: 'error', detail: { owner: 'alice', event: 'start', reason: 'It ended with exit code 1.' } })
  ledger.append({ kind: 'egress', record: 'e1', upstream: 'files', target: 'evil.example:443', decision: 'deny', outcome: 'refused', detail: { owner: 'alice', reason: 'sandbox.network does not name it', calls: ['a1'] } })
  ledger.append({ kind: 'egress', record: 'e2', upstream: 'files', target: 'good.example:443', decision: 'allow', detail: { owner: 'alice', address: '93.184.216.34', calls: ['a1', 'a2'] } })
  ledger.append({ kind: 'outcome', record: 'e2', outcome: 'error', code: 'ECONNREFUSED' })
  ledger.append(intent('a1'))
  ledger.append(outcome('a1', { outcome: 'error', code: '-32603' }))
  ledger.append({ kind: 'user', record: 'c1', source: 'cli', outcome: 'ok', detail: { action: 'disable', user: 'bob' } })
  await ledger.close()
  const { text } = await printed(async out => await auditTail({ database, out }, {}))
  const column = text.indexOf('WHY')
  t.strictSame(Object.fromEntries(text.trimEnd().split('\n').slice(1).map(line => [line.slice(25).split(' ')[0], line.slice(column)])), {
    u1: 'exit SIGKILL memory It used more than 512 MiB.',
    u2: 'start It ended with exit code 1.',
    e1: 'sandbox.network does not name it for a1',
    e2: 'ECONNREFUSED for a1, a2',
    a1: '-32603 user:0 files/*',
    c1: 'disable bob',
  })
})

t.test('a long name does not push the columns of a table apart, and is whole in JSON', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  const long = 'long_'.repeat(60)
  ledger.append(intent('a1', { principal: { id: long, name: long }, target: long, rule: long }))
  ledger.append(outcome('a1'))
  ledger.append(intent('a2'))
  ledger.append(outcome('a2'))
  await ledger.close()
  const { text } = await printed(async out => await auditSearch({ database, out }, {}))
  const lines = text.trimEnd().split('\n')
  t.strictSame(lines.slice(1).map(line => line.slice(lines[0]?.indexOf('OUTCOME')).split(' ')[0]), ['ok', 'ok'])
  t.match(text, / files\/long_long_long_long_[long_]*… +ok /)
  t.ok(lines.every(({ length }) => length < 320))
  t.match(JSON.parse((await printed(async out => await auditSearch({ database, out }, { json: true, user: long }))).text), { tool: long, rule: long })
})

t.test('search filters by everything it offers, newest first', async t => {
  const database = await example(t)
  const found = async (options: SearchOptions): Promise<string[]> => {
    const { text } = await printed(async out => await auditSearch({ database, out }, { ...options, json: true }))
    return text.split('\n').slice(0, -1).map(line => (JSON.parse(line) as { record: string }).record)
  }
  t.strictSame(await found({}), ['l1', 'b1', 'a2', 'a1'])
  t.strictSame(await found({ user: 'alice' }), ['a2', 'a1'])
  t.strictSame(await found({ user: 'id-of-bob' }), ['b1'])
  t.strictSame(await found({ upstream: 'files', tool: 'write_file' }), ['a2'])
  t.strictSame(await found({ outcome: 'timeout' }), ['a2'])
  t.strictSame(await found({ decision: 'deny' }), ['b1'])
  t.strictSame(await found({ kind: 'login' }), ['l1'])
  t.strictSame(await found({ code: 'PORTCULLIS_TIMEOUT' }), ['a2'])
  t.strictSame(await found({ code: 'PORTCULLIS_UNKNOWN_TARGET' }), ['b1'])
  for (const code of ['-32602', 'ECONNREFUSED']) t.strictSame(await found({ code }), [], 'others have codes of their own')
  t.strictSame(await found({ text: 'report.MD' }), ['a1'])
  t.strictSame(await found({ text: '100%' }), [], 'nothing in it is a wildcard')
  t.strictSame(await found({ limit: '1' }), ['l1'])
  t.strictSame(await found({ since: '1h' }), ['l1', 'b1', 'a2', 'a1'])
  t.strictSame(await found({ until: '1h' }), [])
  t.strictSame(await found({ since: '2999-01-01' }), [])
  t.match((await printed(async out => await auditSearch({ database, out }, { user: 'nobody' }))).text, 'Nothing matches.')
  t.match((await printed(async out => await auditSearch({ database, out }, { limit: '2' }))).text, /Only the newest 2 are shown/)
})

t.test('a wrong option is named, with what is right', async t => {
  const database = await testDatabase(t)
  const refused = async (options: SearchOptions, message: RegExp): Promise<unknown> => await t.rejects(auditSearch({ database, out: () => {} }, options), { message })
  await refused({ outcome: 'timedout' }, /--outcome "timedout" is not one of ok, .*timeout/)
  await refused({ decision: 'maybe' }, /--decision "maybe" is not one of allow, deny/)
  await refused({ kind: 'logins' }, /--kind "logins" is not one of call, refusal, .*egress.* – did you mean "login"\?/)
  await refused({ kind: 'outcome' }, /--kind "outcome" is not one of/)
  await refused({ code: 'PORTCULLIS_TIMEOUTS' }, /--code "PORTCULLIS_TIMEOUTS" is no code .* Did you mean PORTCULLIS_TIMEOUT\?/)
  await refused({ code: 'TIMEOUT' }, /Did you mean PORTCULLIS_TIMEOUT\?/)
  await refused({ code: 'portcullis_blocked' }, /Did you mean PORTCULLIS_BLOCKED\?/)
  await refused({ code: 'PORTCULLIS_OF_OLD' }, /is no code of a refusal \(docs\/errors\.md has them all\)/)
  await refused({ since: 'yesterday' }, /--since "yesterday" is neither how long ago \(30m, 2h, 7d\) nor a date/)
  await refused({ until: '2026-13-45' }, /--until "2026-13-45"/)
  await refused({ limit: '-3' }, /--limit "-3" is not a number/)
  await t.rejects(auditTail({ database, out: () => {} }, { lines: 'many' }), /--lines "many"/)
})

t.test('show prints all that is known and what was written; an unknown record is said so, with exit code 1', async t => {
  const database = await example(t)
  const { text, code } = await printed(async out => await auditShow({ database, out }, 'a1'))
  t.equal(code, 0)
  t.match(text, /^principal +alice$/m)
  t.match(text, /^arguments +\{"path":"\/data\/Report\.md"\}$/m)
  t.match(text, /as written:\n {2}\S+ {2}call .*\n {4}\{"ts":.*\n {2}\S+ {2}outcome/)
  const json = JSON.parse((await printed(async out => await auditShow({ database, out }, 'a1', { json: true }))).text) as unknown
  t.match(json, { record: 'a1', outcome: 'ok', events: [{ kind: 'call', body: { record: 'a1' } }, { kind: 'outcome' }] })
  const unknown = await printed(async out => await auditShow({ database, out }, 'zzz'))
  t.equal(unknown.code, 1)
  t.match(unknown.text, /^There is no record zzz\./)
})

t.test('what a caller chose cannot forge a line or move the cursor, in a table or in JSON', async t => {
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t))
  const evil = 'x\n2026-11-24 08:00:00.000  fake  root\x1b[2J\r\x9b31m\u202egnp\u2028\u{e0041}'
  ledger.append(intent('evil', { principal: { id: evil, name: evil }, target: evil, upstream: evil, method: evil, rule: evil, code: evil, args: JSON.stringify({ [evil]: evil }), detail: { evil } }))
  await ledger.close()
  const outputs = [
    await printed(async out => await auditTail({ database, out }, {})),
    await printed(async out => await auditSearch({ database, out }, {})),
    await printed(async out => await auditTail({ database, out }, { json: true })),
    await printed(async out => await auditShow({ database, out }, 'evil')),
    await printed(async out => await auditShow({ database, out }, 'evil', { json: true })),
    await printed(async out => await auditShow({ database, out }, evil)),
  ]
  for (const { text } of outputs) {
    // eslint-disable-next-line no-control-regex -- control characters are what must not be there
    t.notMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]|\u{e0041}/u)
    t.notMatch(text, /^2026-11-24 08:00:00\.000 {2}fake/m)
  }
  t.equal(outputs[0]?.text.split('\n').length, 3)
  t.strictSame((JSON.parse(outputs[2]?.text ?? '') as { tool: string }).tool, evil, 'JSON keeps what it was')
})

t.test('tail -f goes on with each attempt as it is concluded, from every process', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const ledger = testLedger(t, database, data)
  ledger.append(intent('before'))
  ledger.append(outcome('before'))
  ledger.append(intent('pending'))
  await new Promise<void>(resolve => ledger.written(() => resolve()))
  await shipped(ledger)

  const abort = new AbortController()
  let text = ''
  const until = async (pattern: RegExp): Promise<void> => { while (!pattern.test(text)) await sleep(20) }
  const done = auditTail({ database, out: chunk => { text += chunk } }, { follow: true, signal: abort.signal })
  await until(/ pending .*in_flight/)
  ledger.append(outcome('pending'))
  await until(/ pending .* ok/)
  const other = testLedger(t, database, data)
  other.append({ kind: 'user', record: 'elsewhere', outcome: 'ok' })
  await until(/elsewhere/)
  abort.abort()
  t.equal(await done, 0)
  t.strictSame(text.trimEnd().split('\n').slice(1).map(line => line.slice(25).split(/ +/)[0]), ['before', 'pending', 'pending', 'elsewhere'])
})
