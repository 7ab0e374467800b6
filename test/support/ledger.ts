import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import type { Database } from '../../db/connect.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import type { Entry, Ledger, LedgerOptions } from '../../src/ledger/ledger.ts'
import { createLogger } from '../../src/log.ts'

interface Test { teardown (work: () => unknown): unknown }

/** An empty directory, removed with the test. */
export function temporaryDirectory (t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'portcullis-ledger-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The shipped defaults, in the measures of the code. */
export const audit = { durability: 'fsync', maxOutage: 5_000, spoolMax: 256 * 1024 * 1024, checkpointEvery: 60_000, anchor: undefined } as const

/** The secret behind the signatures of test ledgers. */
export const seed = Buffer.alloc(32, 7)

/** A ledger that is closed with the test. */
export function testLedger (t: Test, database: Pick<Database, 'db' | 'pool'>, data: string, options: Partial<LedgerOptions> = {}): Ledger {
  const ledger = openLedger({ data, database, audit, seed, log: createLogger({ level: 'silent' }), node: 'test', ...options })
  t.teardown(async () => await ledger.close())
  return ledger
}

export function durable (ledger: Ledger): Promise<void> {
  return promisify((done: (error?: Error) => void) => ledger.durable(done))()
}

export function written (ledger: Ledger): Promise<void> {
  return promisify((done: (error?: Error) => void) => ledger.written(done))()
}

export const alice = { id: '7a7a7a7a-0000-4000-8000-000000000001', name: 'alice' }

/** The intent of a call of alice's. */
export function intent (record: string, more: Partial<Entry> = {}): Entry {
  return { kind: 'call', record, principal: alice, upstream: 'files', target: 'read_file', method: 'tools/call', decision: 'allow', rule: 'user:0 files/*', args: '{"path":"/data/a"}', bytesIn: 120, ...more }
}

export function outcome (record: string, more: Partial<Entry> = {}): Entry {
  return { kind: 'outcome', record, outcome: 'ok', durationMs: 12.345, bytesOut: 34, ...more }
}
