import { Worker } from 'node:worker_threads'

import type { Database, Log } from '../../../db/connect.ts'
import { listParts, ownsLedger } from '../../../db/retention.ts'
import type { AuditSpec } from '../../config/config.ts'
import { partsBefore } from './retain.ts'

/** What the thread is given. */
export interface StewardPlan {
  readonly url: string
  readonly data: string
  readonly audit: AuditSpec & { readonly retention: number }
}

/** From the thread. */
export interface StewardNews {
  readonly log: 'info' | 'warn' | 'error'
  readonly facts: object
  readonly message: string
}

export interface Steward {
  /** Idempotent; a month that is being taken out is left as it is. */
  close (): Promise<void>
}

const DAY_MS = 24 * 60 * 60 * 1000
/** The compiled file, from the sources too. */
const SCRIPT = new URL(import.meta.url.endsWith('.ts') ? '../../../dist/src/ledger/keeping/retention-worker.js' : './retention-worker.js', import.meta.url)

/**
 * Looks at the start and every day for months that are older than audit.retention and takes them out, in a thread of its own. A
 * gateway whose role does not own the ledger only says that there is something to do.
 */
export function openSteward ({ url, data, audit, database, log }: Omit<StewardPlan, 'audit'> & { readonly audit: AuditSpec, readonly database: Pick<Database, 'db'>, readonly log: Log }): Steward {
  const { retention } = audit
  if (retention === undefined) return { close: async () => {} }
  let worker: Worker | undefined
  const look = async (): Promise<void> => {
    const due = partsBefore(await listParts(database.db), new Date(Date.now() - retention))
    if (due.length === 0 || worker !== undefined) return
    if (!await ownsLedger(database.db)) return log.warn({ parts: due.map(({ table }) => table) }, 'records are older than audit.retention, and this database role may not take them out: run `portcullis audit retain` as its owner')
    const started = new Worker(SCRIPT, { workerData: { url, data, audit: { ...audit, retention } } satisfies StewardPlan, name: 'portcullis-retention', execArgv: [] })
    worker = started
    started.on('message', (news: StewardNews) => log[news.log](news.facts, news.message))
    started.on('error', err => log.error({ err }, 'retention failed; it is tried again tomorrow'))
    started.once('exit', () => { worker = undefined })
    started.unref()
  }
  const start = (): void => { looking = look().catch((err: unknown) => log.warn({ err }, 'it cannot be seen whether records are older than audit.retention')) }
  let looking: Promise<void> | undefined
  start()
  const timer = setInterval(start, DAY_MS).unref()
  return {
    close: async () => {
      clearInterval(timer)
      await looking
      await worker?.terminate()
    },
  }
}
