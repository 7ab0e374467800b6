import { execFileSync } from 'node:child_process'
import fs, { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

import t from 'tap'
import type { Test } from 'tap'

import { recordedGaps } from '../../db/recorded-gaps.ts'
import { Gap } from '../../src/ledger/gap.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { alice, audit, durable, intent, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

const exempt = { ...audit, maxOutage: 600_000, onFailure: { allow: ['files/*'] } }
const call = { principal: alice, upstream: 'files', tool: 'read_file' }
const pass = async (ledger: Ledger): Promise<void> => await promisify((done: (error?: Error) => void) => ledger.passUnrecorded(call, done))()
const gapFiles = (directory: string): string[] => readdirSync(join(directory, 'ledger')).filter(name => name.endsWith('.gap'))

/** Writes of segments fail while `full` is true. */
function failingDisk (): { io: Pick<typeof fs, 'writeSync' | 'fdatasync' | 'fsyncSync'>, full: boolean } {
  const disk = {
    full: false,
    io: {
      writeSync: ((...args: Parameters<typeof fs.writeSync>) => {
        if (disk.full) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
        return fs.writeSync(...args)
      }) as typeof fs.writeSync,
      fdatasync: fs.fdatasync,
      fsyncSync: fs.fsyncSync,
    },
  }
  return disk
}

t.test('on a full disk there is room to count, and the count is a record as soon as the disk takes one', async t => {
  const database = await testDatabase(t)
  const directory = temporaryDirectory(t)
  const disk = failingDisk()
  const ledger = testLedger(t, database, directory, { audit: exempt, io: disk.io })
  ledger.append(intent('before'))
  await durable(ledger)
  disk.full = true
  ledger.append(intent('in between'))
  await t.rejects(durable(ledger), /ENOSPC/)
  t.throws(() => ledger.append(intent('refused')), { code: 'PORTCULLIS_LEDGER_UNAVAILABLE' })
  await Promise.all(Array.from({ length: 50 }, async () => await pass(ledger)))
  await pass(ledger)
  disk.full = false
  await until(() => ledger.status.healthy)
  ledger.append(intent('after'))
  await durable(ledger)
  await until(async () => (await recordedGaps(database.db)).length > 0)
  t.match(await recordedGaps(database.db), [{ calls: 51 }])

  disk.full = true
  ledger.append(intent('once more'))
  await t.rejects(durable(ledger), /ENOSPC/)
  await pass(ledger)
  disk.full = false
  await until(() => ledger.status.healthy)
  await ledger.close()
  t.match(await recordedGaps(database.db), [{ calls: 51 }, { calls: 1 }], 'the end of the gateway is the end of a gap too')
  t.same(gapFiles(directory), [], 'nothing is left to tell')
})

t.test('the room is taken ahead, so that a file system that is full later has it', async t => {
  const database = await testDatabase(t)
  const directory = temporaryDirectory(t)
  const fill = mountSmall(t, directory)
  const ledger = testLedger(t, database, directory, { audit: exempt })
  const file = join(directory, 'ledger', gapFiles(directory)[0] ?? '')
  const { blocks, size } = fs.statSync(file)
  t.ok(size > 0 && blocks * 512 >= size, 'no hole in the file')
  fill()
  for (let n = 0; n < 20; n++) await pass(ledger)
  t.match(JSON.parse(fs.readFileSync(file, 'utf8').split('\n')[0] ?? ''), { gaps: [{ detail: { calls: 20 } }] })
})

t.test('what cannot be counted does not go on', async t => {
  const database = await testDatabase(t)
  const directory = temporaryDirectory(t)
  const without = testLedger(t, database, directory)
  await t.rejects(pass(without), /cannot be counted/, 'not without the exemption')
  const ledger = testLedger(t, database, directory, { audit: exempt })
  await ledger.close()
  await t.rejects(pass(ledger), /closing/, 'not when the gateway ends')
})

t.test('a count that cannot be read is a record of its own, and says so', async t => {
  const database = await testDatabase(t)
  const directory = temporaryDirectory(t)
  fs.mkdirSync(join(directory, 'ledger'))
  const torn = join(directory, 'ledger', '7a7a7a7a-0000-4000-8000-00000000000a.gap')
  writeFileSync(torn, '{"portcullis":"gap","host":"here","gaps":[{"rec')
  fs.utimesSync(torn, new Date(0), new Date(0))
  const ledger = testLedger(t, database, directory)
  await until(() => gapFiles(directory).length === 0)
  await ledger.close()
  t.match(await recordedGaps(database.db), [{ calls: undefined, record: /./ }])
})

t.test('a process that lives keeps its count to itself', async t => {
  const database = await testDatabase(t)
  const directory = temporaryDirectory(t)
  const ledger = testLedger(t, database, directory, { audit: exempt })
  await pass(ledger)
  const other = testLedger(t, database, directory)
  await other.close()
  t.equal(gapFiles(directory).length, 1)
  await ledger.close()
  t.match(await recordedGaps(database.db), [{ calls: 1 }], 'once')
})

t.test('a gap keeps a bounded size, and counts whom it cannot name', async t => {
  const gap = new Gap('r', '2026-01-01T00:00:00.000Z')
  for (let n = 0; n < 1000; n++) gap.add({ principal: { id: `u${n}`, name: '\u0001'.repeat(500) }, upstream: 'files', tool: 'x'.repeat(5000) }, '2026-01-01T00:00:01.000Z')
  t.match(gap.detail(), { calls: 1000, others: 900 })
  t.ok(JSON.stringify(gap.detail()).length < 300 * 1024)
})

/** A file system of two mebibytes and what fills it; where none may be mounted, nothing. */
function mountSmall (t: Test, directory: string): () => void {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', directory], { stdio: 'ignore' })
  } catch {
    return () => {}
  }
  t.teardown(() => execFileSync('umount', ['--lazy', directory]))
  return () => {
    const ballast = fs.openSync(join(directory, 'ballast'), 'w')
    t.throws(() => { for (let n = 0; n < 1024; n++) fs.writeSync(ballast, Buffer.alloc(4096)) }, { code: 'ENOSPC' })
    fs.closeSync(ballast)
  }
}
