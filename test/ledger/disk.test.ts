import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs, { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import t from 'tap'
import type { Test } from 'tap'

import { ingest, openChain } from '../../db/chains.ts'
import type { Database } from '../../db/connect.ts'
import { encode } from '../../src/ledger/entry.ts'
import { genesisOf, hashesOf } from '../../src/ledger/hash-chain.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { createSegment } from '../../src/ledger/segment.ts'
import { SegmentFile } from '../../src/ledger/segment-file.ts'
import type { Io } from '../../src/ledger/segment-file.ts'
import { audit, durable, intent, outcome, temporaryDirectory, testLedger, written } from '../support/ledger.ts'
import { testDatabase } from '../support/postgres.ts'

/** Records in the table in the order of their numbers; fails when there is a gap or a duplicate. */
async function recordsOf (t: Test, { pool }: Database): Promise<string[]> {
  const { rows } = await pool.query<{ seq: number, record: string }>("select seq::int, kind || ' ' || record as record from ledger.event where kind <> 'recovered' order by seq")
  t.strictSame(rows.map(({ seq }) => seq), rows.map((_, index) => index + 1))
  return rows.map(({ record }) => record)
}

/** Appends until the ledger refuses. Returns the records that were acknowledged as durable. */
async function fill (ledger: Ledger, bytes: number): Promise<string[]> {
  const acknowledged: string[] = []
  for (let n = 0; n < 10_000; n++) {
    try {
      ledger.append(intent(`n${n}`, { args: JSON.stringify({ text: 'x'.repeat(bytes) }) }))
      await durable(ledger)
      acknowledged.push(`call n${n}`)
    } catch {
      return acknowledged
    }
  }
  throw new Error('it never refused')
}

/** A file system of one mebibyte; where one may not be mounted, writes that fail as if it were. */
function tinyDisk (t: Test): { directory: string, io?: Io, free: () => void } {
  const directory = temporaryDirectory(t)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    return { directory, ...limitedWrites() }
  }
  t.teardown(() => execFileSync('umount', ['--lazy', directory]))
  const ballast = join(directory, 'ballast')
  fs.writeFileSync(ballast, Buffer.alloc(200 * 1024))
  return { directory, free: () => fs.rmSync(ballast) }
}

function limitedWrites (): { io: Io, free: () => void } {
  let room = 800 * 1024
  const writeSync = (descriptor: number, buffer: Buffer, offset: number, length: number, position: number): number => {
    const most = Math.min(length, room - position)
    if (most <= 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
    return fs.writeSync(descriptor, buffer, offset, most, position)
  }
  return { io: { writeSync: writeSync as Io['writeSync'], fdatasync: fs.fdatasync, fsyncSync: fs.fsyncSync }, free: () => { room = Infinity } }
}

t.test('a full disk refuses calls, loses nothing that was acknowledged, and recovers by itself', async t => {
  const database = await testDatabase(t)
  const { directory, io, free } = tinyDisk(t)
  // The database is away, so that nothing is deleted from the spool.
  let away = true
  const pool = new Proxy(database.pool, { get: (target, name) => name === 'query' && away ? async () => { throw new Error('away') } : Reflect.get(target, name) as unknown })
  const ledger = testLedger(t, { db: database.db, pool }, directory, { audit: { ...audit, maxOutage: 600_000, spoolMax: 1e9 }, ...(io !== undefined && { io }) })
  const acknowledged = await fill(ledger, 3_000)
  t.ok(acknowledged.length > 50)
  t.match(ledger.status, { healthy: false, reason: /ENOSPC/ })
  t.throws(() => ledger.append(intent('refused')), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' })
  ledger.append(outcome('n0'), { force: true })
  await t.rejects(written(ledger), /ENOSPC/, 'an outcome is taken, but nobody is told that it is written')

  free()
  while (!ledger.status.healthy) await sleep(20)
  ledger.append(intent('after'))
  await durable(ledger)
  away = false
  await ledger.close()
  const records = await recordsOf(t, database)
  t.strictSame(records.slice(0, acknowledged.length), acknowledged)
  t.strictSame(records.slice(-2), ['outcome n0', 'call after'], 'what waited for room comes in order')
})

t.test('a disk that is smaller than a segment frees itself as the database takes what lies there', async t => {
  for (const durability of ['fsync', 'os'] as const) {
    const database = await testDatabase(t)
    const { directory } = tinyDisk(t)
    const ledger = testLedger(t, database, directory, { audit: { ...audit, durability, maxOutage: 600_000, spoolMax: 1e9 } })
    const acknowledged: string[] = []
    // Four times what the disk holds.
    for (let n = 0; n < 800; n++) acknowledged.push(await insist(ledger, n))
    await ledger.close()
    const records = new Set(await recordsOf(t, database))
    t.strictSame(acknowledged.filter(record => !records.has(record)), [], `${durability}: what was acknowledged is there`)
  }
})

t.test('a process that dies after its only segment made room has its chain closed by the next', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const dead = { id: randomUUID(), node: 'dead', openedAt: new Date() }
  mkdirSync(join(data, 'ledger'))
  // What lies there then: the database has the records, the file has its header only.
  const { segment, descriptor } = createSegment(join(data, 'ledger'), dead, 1)
  fs.closeSync(descriptor)
  fs.writeFileSync(segment.path, fs.readFileSync(segment.path, 'utf8').replace(/"pid":\d+/, '"pid":0'))
  const line = Buffer.from(encode(intent('unfinished'), new Date().toISOString()))
  const { hash } = await openChain(database.db, dead, genesisOf(dead))
  await ingest(database.pool, dead.id, 1, line, hashesOf(hash, line))

  const ledger = testLedger(t, database, data)
  await ledger.caughtUp
  const { rows } = await database.pool.query<{ kind: string }>('select kind from ledger.event join ledger.chain using (chain_id) where closed_at is not null order by seq')
  t.strictSame(rows.map(({ kind }) => kind), ['call', 'recovered'])
})

t.test('a segment whose name does not reach the device leaves neither a descriptor nor a file, however often it is tried', async t => {
  const directory = temporaryDirectory(t)
  const fsyncSync = (): void => { throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }) }
  const nextDescriptor = (): number => {
    const descriptor = fs.openSync(directory, 'r')
    fs.closeSync(descriptor)
    return descriptor
  }
  const before = nextDescriptor()
  const chain = { id: randomUUID(), node: 'here', openedAt: new Date() }
  for (let tries = 0; tries < 10; tries++) t.throws(() => new SegmentFile({ directory, chain, first: 1, durable: true, io: { ...fs, fsyncSync } }), { code: 'EIO' })
  t.equal(nextDescriptor(), before)
  t.strictSame(fs.readdirSync(directory), [])
})

/** A call that is tried under a new number until it is taken. */
async function insist (ledger: Ledger, n: number): Promise<string> {
  for (let attempt = 0; attempt < 500; attempt++) {
    try {
      ledger.append(intent(`n${n}-${attempt}`, { args: JSON.stringify({ text: 'x'.repeat(4_000) }) }))
      await durable(ledger)
      return `call n${n}-${attempt}`
    } catch {
      await sleep(20)
    }
  }
  throw new Error('the disk never had room again')
}

/** fdatasync that fails as often as told, as if the device had dropped the pages. */
function failingSync (): { io: Io, fail: (times: number) => void, syncs: () => number } {
  let failures = 0
  let syncs = 0
  const fdatasync = (descriptor: number, done: (error: NodeJS.ErrnoException | null) => void): void => {
    syncs++
    if (failures-- > 0) setImmediate(() => done(Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })))
    else fs.fdatasync(descriptor, done)
  }
  return { io: { writeSync: fs.writeSync, fdatasync: fdatasync as Io['fdatasync'], fsyncSync: fs.fsyncSync }, fail: (times) => { failures = times }, syncs: () => syncs }
}

t.test('an fsync that fails once costs the segment, not the call: the records are written again to a new one', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const { io, fail } = failingSync()
  const ledger = testLedger(t, database, data, { io })
  for (let n = 0; n < 20; n++) {
    if (n === 7 || n === 13) fail(1)
    ledger.append(intent(`n${n}`))
    ledger.append(outcome(`n${n}`))
    await durable(ledger)
  }
  t.ok(ledger.status.healthy)
  await ledger.close()
  t.strictSame(await recordsOf(t, database), Array.from({ length: 20 }, (_, n) => [`call n${n}`, `outcome n${n}`]).flat())
  t.strictSame(fs.readdirSync(join(data, 'ledger')), [])
})

t.test('an fsync that goes on failing refuses calls until the device works again', async t => {
  const database = await testDatabase(t)
  const { io, fail } = failingSync()
  const ledger = testLedger(t, database, temporaryDirectory(t), { io })
  ledger.append(intent('before'))
  await durable(ledger)
  fail(Infinity)
  ledger.append(intent('during'))
  await t.rejects(durable(ledger), /EIO/, 'the call that waits for it is told')
  t.throws(() => ledger.append(intent('refused')), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' })
  ledger.append(outcome('during', { outcome: 'refused' }), { force: true })
  await sleep(600)
  t.notOk(ledger.status.healthy)
  fail(0)
  while (!ledger.status.healthy) await sleep(20)
  ledger.append(intent('after'))
  await durable(ledger)
  await ledger.close()
  t.strictSame(await recordsOf(t, database), ['call before', 'call during', 'outcome during', 'call after'])
})

t.test('records that were appended while an fsync ran wait for the next one, all of them for one', async t => {
  const database = await testDatabase(t)
  const { io, syncs } = failingSync()
  const ledger = testLedger(t, database, temporaryDirectory(t), { io })
  const waits: Promise<void>[] = []
  for (let turn = 0; turn < 3; turn++) {
    for (let n = 0; n < 100; n++) {
      ledger.append(intent(`n${turn}-${n}`))
      waits.push(durable(ledger))
    }
    await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(waits)
  t.ok(syncs() <= 3, `${syncs()} for 300 records`)
})

t.test('a spool of many segments is shipped in order and deleted as it goes', async t => {
  const database = await testDatabase(t)
  const data = temporaryDirectory(t)
  const ledger = testLedger(t, database, data, { segmentBytes: 20_000 })
  for (let n = 0; n < 1_000; n++) {
    ledger.append(intent(`n${n}`))
    if (n % 7 === 0) await durable(ledger)
  }
  await ledger.close()
  t.strictSame(await recordsOf(t, database), Array.from({ length: 1_000 }, (_, n) => `call n${n}`))
  t.strictSame(fs.readdirSync(join(data, 'ledger')), [])
})
