/** The thread that `ThreadedShipping` starts: its own connections, its own event loop. */
import { parentPort, workerData } from 'node:worker_threads'
import type { MessagePort } from 'node:worker_threads'

import { connectLazily } from '../../db/connect.ts'
import type { Log } from '../../db/connect.ts'
import { giveWay, giveWayHere } from './give-way.ts'
import { DirectShipping } from './shipping.ts'
import { REPORT_MS } from './shipping-thread.ts'
import type { News, Order, ThreadData } from './shipping-thread.ts'

/** Its chain, and what earlier processes left. */
const CONNECTIONS = 3

if (parentPort !== null) run(parentPort, workerData as ThreadData)

function run (port: MessagePort, { plan, url, embedded }: ThreadData): void {
  const tell = (news: News): void => port.postMessage(news)
  const log = forward(tell)
  const database = connectLazily(url, log, CONNECTIONS)
  giveWayHere()
  if (embedded) giveWay(database.pool)
  // A Buffer arrives as a plain array of bytes.
  const shipping = new DirectShipping({ ...plan, seed: Buffer.from(plan.seed), database, log })
  let told = ''
  const report = (): void => {
    const { facts } = shipping
    const text = JSON.stringify(facts)
    if (text === told && facts.bytes === 0) return
    told = text
    tell({ facts })
  }
  const timer = setInterval(report, REPORT_MS)
  shipping.caughtUp.then(() => tell({ caughtUp: true })).catch(() => {})
  port.on('message', (order: Order) => {
    if ('note' in order) for (const progress of order.note) shipping.note(progress)
    else if ('finish' in order) finish(order.finish).catch(() => {})
    else end().catch(() => {})
  })

  async function finish (milliseconds: number): Promise<void> {
    const finished = await shipping.finish(milliseconds).catch((error: unknown) => {
      log.warn({ err: error }, 'the chain could not be closed')
      return false
    })
    report()
    tell({ finished })
  }

  async function end (): Promise<void> {
    clearInterval(timer)
    await shipping.close()
    await database.close().catch(() => {})
    port.close()
  }
}

/** The logger lives in the main thread. */
function forward (tell: (news: News) => void): Log {
  const at = (level: 'info' | 'warn' | 'error') => (facts: object, message: string) => tell({ log: level, facts, message })
  return { info: at('info'), warn: at('warn'), error: at('error') }
}
