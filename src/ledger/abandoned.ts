import { setTimeout as sleep } from 'node:timers/promises'

import { abandonedChains } from '../../db/chain-owners.ts'
import { closeChain } from '../../db/chains.ts'
import type { Database, Log } from '../../db/connect.ts'
import type { Tip } from './hash-chain.ts'
import type { Chain } from './segment.ts'

export interface AbandonedOptions {
  readonly own: Chain
  readonly database: Pick<Database, 'db'>
  readonly log: Log
  /** Told of each chain that ends here, and where. */
  readonly onFinished: (chain: Chain, tip: Tip) => void
}

const LOOK_MS = 60_000

/**
 * A process that was killed leaves nothing but what it committed when its records went straight to the database. Another
 * closes its chain and signs the end, as it stands in the database; calls without an outcome count as unknown from then on.
 */
export class Abandoned {
  readonly #options: AbandonedOptions
  readonly #stop = new AbortController()
  readonly #done: Promise<void>

  constructor (options: AbandonedOptions) {
    this.#options = options
    this.#done = this.#run()
  }

  async close (): Promise<void> {
    this.#stop.abort()
    await this.#done
  }

  async #run (): Promise<void> {
    const { log } = this.#options
    while (!this.#stop.signal.aborted) {
      await this.#look().catch((error: unknown) => log.warn({ err: error }, 'chains of gateways that are gone cannot be looked for'))
      await sleep(LOOK_MS, undefined, { signal: this.#stop.signal, ref: false }).catch(() => {})
    }
  }

  async #look (): Promise<void> {
    const { own, database, log, onFinished } = this.#options
    for (const { seq, hash, ...chain } of await abandonedChains(database.db, own.id)) {
      await closeChain(database.db, chain.id)
      onFinished(chain, { seq, hash })
      log.warn({ chain: chain.id, node: chain.node, records: seq }, 'a gateway did not close its ledger; its chain ends with what it had committed')
    }
  }
}
