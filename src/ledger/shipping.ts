import type { Database, Log } from '../../db/connect.ts'
import { Abandoned } from './abandoned.ts'
import { Backlog } from './backlog.ts'
import type { Supply } from './backlog.ts'
import { signerOf } from './checkpoint.ts'
import { finishChain } from './finish-chain.ts'
import type { Tip } from './hash-chain.ts'
import { Leftovers } from './leftovers.ts'
import { Notary } from './notary.ts'
import type { Chain } from './segment.ts'
import { Shipper } from './shipper.ts'
import type { Progress } from './spool-tail.ts'

/** What it takes to ship, other than connections: can be sent to a thread. */
export interface ShippingPlan {
  /** Data directory: checkpoints go there. */
  readonly data: string
  /** Where the spool is. */
  readonly directory: string
  readonly chain: Chain
  /** 32 secret bytes: the key that signs checkpoints. */
  readonly seed: Buffer
  /** A head that has moved is signed after this many milliseconds. */
  readonly checkpointEvery: number
  /** Address of the anchor. */
  readonly anchor?: string | undefined
}

/** How it stands. */
export interface ShippingFacts {
  /** Number of the last record of this chain that is in the database. */
  readonly shipped: number
  /** Bytes of this chain that were noted and are not in the database. */
  readonly bytes: number
  /** What earlier processes left and is not in the database. */
  readonly older: { readonly records: number, readonly bytes: number }
  /** When the batch that is not through yet was first tried, Unix milliseconds; 0: nothing is held up. */
  readonly stalledSince: number
  /** Unix milliseconds; 0: never. */
  readonly lastShippedAt: number
  readonly error: string | undefined
}

/** Brings records to the database, hashes them on the way, and signs the heads. */
export interface Shipping {
  readonly facts: ShippingFacts
  /** Resolves when what earlier processes left behind is in the database. */
  readonly caughtUp: Promise<void>
  note (progress: Progress): void
  /** Ships what was noted, closes the chain and signs its end. False: that did not succeed within so many milliseconds. */
  finish (milliseconds: number): Promise<boolean>
  close (): Promise<void>
}

/** A head is signed after this many records, if not for the time. */
const CHECKPOINT_RECORDS = 10_000

interface DirectOptions extends ShippingPlan {
  readonly database: Pick<Database, 'db' | 'pool'>
  readonly log: Log
  /** Records that are in no file, and told after each batch of them; without it, what is noted is shipped. */
  readonly unfiled?: { readonly supply: Supply, readonly onShipped: () => void }
}

/** Ships in this very thread. */
export class DirectShipping implements Shipping {
  readonly #options: DirectOptions
  readonly #backlog = new Backlog()
  readonly #shipper: Shipper
  readonly #leftovers: Leftovers
  readonly #abandoned: Abandoned | undefined
  readonly #notary: Notary
  readonly #timer: NodeJS.Timeout
  #signed = 0
  #signedAt = Date.now()

  constructor (options: DirectOptions) {
    const { chain, database, log, directory, checkpointEvery, seed, unfiled } = options
    this.#options = options
    this.#notary = new Notary({ ...options, signer: signerOf(seed) })
    this.#shipper = new Shipper({
      chain,
      supply: unfiled?.supply ?? this.#backlog,
      urgent: unfiled !== undefined,
      database,
      log,
      onShipped: () => {
        unfiled?.onShipped()
        this.#signIfDue(CHECKPOINT_RECORDS)
      },
    })
    const onFinished = (finished: Chain, tip: Tip): void => this.#notary.sign(finished, tip, 'close')
    this.#leftovers = new Leftovers({ directory, own: chain, database, log, onFinished })
    this.#abandoned = unfiled === undefined ? undefined : new Abandoned({ own: chain, database, log, onFinished })
    this.#timer = setInterval(() => this.#signIfDue(1), Math.min(checkpointEvery, 1_000)).unref()
  }

  get facts (): ShippingFacts {
    const { shipped, lag, stalledSince, lastShippedAt, error } = this.#shipper
    return { shipped, bytes: lag.bytes, older: this.#leftovers.lag, stalledSince, lastShippedAt, error: error?.message }
  }

  get caughtUp (): Promise<void> {
    return this.#leftovers.done
  }

  note (progress: Progress): void {
    this.#backlog.note(progress)
    this.#shipper.wake()
  }

  /** There is something in the supply that was given. */
  wake (): void {
    this.#shipper.wake()
  }

  async finish (milliseconds: number): Promise<boolean> {
    const signal = AbortSignal.timeout(milliseconds)
    if (!await this.#shipper.drain(signal)) return false
    const { chain, database } = this.#options
    if (this.#shipper.shipped > 0) {
      const { tip } = await finishChain(database, chain, this.#shipper.tip)
      this.#sign(tip, 'close')
    }
    await this.#shipper.release()
    return await this.#notary.settle(signal)
  }

  async close (): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all([this.#shipper.close(), this.#leftovers.close(), this.#abandoned?.close()])
    this.#notary.close()
  }

  #signIfDue (records: number): void {
    const { tip } = this.#shipper
    if (tip === undefined || tip.seq === this.#signed) return
    if (tip.seq - this.#signed >= CHECKPOINT_RECORDS || (tip.seq - this.#signed >= records && Date.now() - this.#signedAt >= this.#options.checkpointEvery)) this.#sign(tip, 'interval')
  }

  #sign (tip: Tip, reason: 'interval' | 'close'): void {
    this.#notary.sign(this.#options.chain, tip, reason)
    this.#signed = tip.seq
    this.#signedAt = Date.now()
  }
}
