import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, readdirSync } from 'node:fs'
import { getPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Worker } from 'node:worker_threads'

import t from 'tap'
import type { Test } from 'tap'

import { openDatabase } from '../../db/connect.ts'
import type { Database } from '../../db/connect.ts'
import { NICE } from '../../src/ledger/give-way.ts'
import { durable, intent, temporaryDirectory, testLedger } from '../support/ledger.ts'
import { until } from '../support/gateway.ts'
import { testDatabase } from '../support/postgres.ts'

t.test('a shipping thread that dies is replaced: nothing is lost, nothing comes twice, calls go on', async t => {
  const started: Worker[] = []
  const note = (worker: Worker): void => { started.push(worker) }
  process.on('worker', note)
  t.teardown(() => process.off('worker', note))
  const database = await testDatabase(t)
  // Small files: the thread that takes over meets some that are full, and some that its predecessor has deleted.
  const ledger = testLedger(t, database, temporaryDirectory(t), { thread: database, segmentBytes: 4096 })
  const records: string[] = []
  const write = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      const record = ledger.newRecord()
      ledger.append(intent(record))
      records.push(record)
      await durable(ledger)
    }
  }
  for (let round = 1; round <= 3; round++) {
    await until(() => started.length === round, 60_000)
    const worker = started[round - 1]
    if (worker === undefined) return t.fail(`no thread number ${round}`)
    await write(60)
    const gone = once(worker, 'exit')
    await worker.terminate()
    await gone
    await write(20)
    t.ok(ledger.status.healthy, 'a moment without the thread refuses no call')
  }
  await until(() => ledger.status.lagRecords === 0, 60_000)
  await ledger.close()
  t.equal(started.length, 4)
  const { rows } = await database.pool.query<{ record: string }>("select record from ledger.event where kind = 'call' order by seq")
  t.strictSame(rows.map(({ record }) => record), records)
  const { rows: open } = await database.pool.query('select from ledger.chain where closed_at is null')
  t.strictSame(open, [])
})

t.test('the thread has a young generation of its own size, whatever the command line gives the gateway', async t => {
  for (const flag of ['--min-semi-space-size=32', '--max-semi-space-size=64']) setFlagsFromString(flag)
  t.teardown(() => { for (const flag of ['--min-semi-space-size=0', '--max-semi-space-size=0']) setFlagsFromString(flag) })
  const started: Worker[] = []
  const note = (worker: Worker): void => { started.push(worker) }
  process.on('worker', note)
  t.teardown(() => process.off('worker', note))
  const database = await testDatabase(t)
  const ledger = testLedger(t, database, temporaryDirectory(t), { thread: database })
  ledger.append(intent(ledger.newRecord()))
  await until(() => ledger.status.lastShippedAt !== undefined, 60_000)
  t.equal(started.length, 1)
  const young = youngOf(started[0]?.threadId)
  t.ok(young > 0 && young <= 6 * 1024 * 1024, `${young} bytes`)
})

const onLinux = process.platform === 'linux'

t.test('what brings records to the database gives way to calls: the thread, and of the embedded server the processes that it uses; on a server of one\'s own nothing is touched', { skip: !onLinux && 'nice values of threads are of Linux' }, async t => {
  const data = temporaryDirectory(t)
  chmodSync(data, 0o711) // as root the server runs as somebody else
  const embedded = await openDatabase({ url: undefined, data, durable: false })
  t.teardown(async () => await embedded.close())
  t.strictSame(await nicesWhileShipping(t, embedded), { thread: NICE, shipping: [NICE], asking: 0 })
  t.strictSame(await nicesWhileShipping(t, await testDatabase(t)), { thread: NICE, shipping: [0], asking: 0 })
})

/** Nice values: of the thread, of the processes behind its connections, and of the one that asks. */
async function nicesWhileShipping (t: Test, database: Database): Promise<{ thread: number, shipping: number[], asking: number }> {
  const before = threads()
  const ledger = testLedger(t, database, temporaryDirectory(t), { thread: database })
  ledger.append(intent(ledger.newRecord()))
  await until(() => ledger.status.lastShippedAt !== undefined, 60_000)
  await sleep(1_000) // the kernel takes few such changes at a time from a user
  const { rows } = await database.pool.query<{ pid: number, shipping: boolean }>(`
    select pid, query ~* 'ledger' and pid <> pg_backend_pid() as shipping from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and (pid = pg_backend_pid() or query ~* 'ledger')`)
  const nices = rows.map(({ pid, shipping }) => ({ shipping, nice: niceOf(pid) }))
  const thread = Math.max(...threads().filter(tid => !before.includes(tid)).map(tid => getPriority(tid)))
  return { thread, shipping: [...new Set(nices.filter(({ shipping }) => shipping).map(({ nice }) => nice))], asking: Number(nices.find(({ shipping }) => !shipping)?.nice) }
}

/** Those of this process. Elsewhere than on Linux they have no number, and no nice value of their own. */
function threads (): number[] {
  return readdirSync('/proc/self/task').map(Number)
}

/** What the system goes by: where it weighs sessions against each other, that of the session. */
function niceOf (pid: number): number {
  const session = `/proc/${pid}/autogroup`
  const text = existsSync(session) ? readFileSync(session, 'utf8') : ''
  return Number(/nice (-?\d+)/.exec(text)?.[1] ?? getPriority(pid))
}

/** Bytes of the young generation of a thread of this process. */
function youngOf (thread: number | undefined): number {
  const { workers } = process.report.getReport() as { workers: { header: { threadId: number }, javascriptHeap: { heapSpaces: { new_space: { memorySize: number } } } }[] }
  return workers.find(({ header }) => header.threadId === thread)?.javascriptHeap.heapSpaces.new_space.memorySize ?? 0
}
