import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import t from 'tap'
import type { Test } from 'tap'

import type { Database } from '../../db/connect.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import type { Entry, Ledger, LedgerOptions } from '../../src/ledger/ledger.ts'
import { callsSince, search, show } from '../../src/ledger/query.ts'
import { createLogger } from '../../src/log.ts'
import { testDatabase } from '../support/postgres.ts'

const audit = { durability: 'fsync', maxOutage: 5_000, spoolMax: 256 * 1024 * 1024 } as const
const log = createLogger({ level: 'silent' })
const alice = { id: '7a7a7a7a-0000-4000-8000-000000000001', name: 'alice' }

function directory (t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'portcullis-ledger-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function open (t: Test, database: Database, data: string, options: Partial<LedgerOptions> = {}): Ledger {
  const ledger = openLedger({ data, database, audit, log, node: 'test', ...options })
  t.teardown(async () => await ledger.close())
  return ledger
}

function durable (ledger: Ledger): Promise<void> {
  return promisify((done: (error?: Error) => void) => ledger.durable(done))()
}

function call (record: string, more: Partial<Entry> = {}): Entry {
  return { kind: 'call', record, principal: alice, upstream: 'files', target: 'read_file', method: 'tools/call', decision: 'allow', rule: 'user:0 files/*', args: '{"path":"/data/a"}', bytesIn: 120, ...more }
}

const result: Omit<Entry, 'record'> = { kind: 'outcome', outcome: 'ok', durationMs: 12.345, bytesOut: 34 }

t.test('a call is one attempt: its intent joined with its outcome', async t => {
  const database = await testDatabase(t)
  const data = directory(t)
  const ledger = open(t, database, data)
  const record = ledger.newRecord()
  ledger.append(call(record, { client: 'sdk/1', session: 's1', trace: '00-ab-cd-01', source: '127.0.0.1', era: '2025-11-25', digest: 'sha256:00', policy: 'abc', token: 't1' }))
  await durable(ledger)
  ledger.append({ ...result, record })
  await ledger.close()

  const [attempt] = await search(database, {}, 10)
  t.match(attempt, {
    record,
    kind: 'call',
    principal_id: alice.id,
    principal: 'alice',
    token: 't1',
    client: 'sdk/1',
    session: 's1',
    trace: '00-ab-cd-01',
    source: '127.0.0.1',
    era: '2025-11-25',
    method: 'tools/call',
    upstream: 'files',
    tool: 'read_file',
    arguments: { path: '/data/a' },
    digest: 'sha256:00',
    decision: 'allow',
    rule: 'user:0 files/*',
    outcome: 'ok',
    code: null,
    duration_ms: 12.35,
    bytes_in: 120,
    bytes_out: 34,
    policy: 'abc',
  })
  t.ok(Math.abs((attempt?.time.getTime() ?? 0) - Date.now()) < 60_000)
  t.equal((await show(database, record))?.events.length, 2)
  t.strictSame(readdirSync(join(data, 'ledger')), [], 'a spool that was shipped is empty')
  const chains = await database.db.selectFrom('ledger.chain').select(['node', 'last_seq', 'closed_at']).execute()
  t.match(chains, [{ node: 'test', last_seq: '2', closed_at: Date }])
})
