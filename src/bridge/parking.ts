import { randomBytes } from 'node:crypto'
import type { Dialogue } from './dialogue.ts'
import { stateMs } from './request-state.ts'
import { Refusal } from '../errors.ts'
import type { Instance } from '../upstreams/instance.ts'

/** A call whose upstream waits for what only the client can say. */
export interface Parked {
  readonly principalId: string
  readonly instance: Instance
  readonly dialogue: Dialogue
}

const maxParked = 1_000
const maxParkedPerPrincipal = 32
const sweepMs = 1_000

/** The calls that wait for their client to come back: each is found once, and none waits for ever. */
export class Parking {
  readonly #parked = new Map<string, Parked & { readonly expires: number }>()
  readonly #timer: NodeJS.Timeout
  readonly #ttlMs: number

  constructor (ttlMs: number = stateMs) {
    this.#ttlMs = ttlMs
    this.#timer = setInterval(() => this.#sweep(), Math.min(sweepMs, ttlMs))
    this.#timer.unref()
  }

  get size (): number {
    return this.#parked.size
  }

  /**
   * Lets a call wait, and others have its turn.
   * @returns the id it can be taken back under, once
   * @throws Refusal PORTCULLIS_OVERLOADED when too many wait already
   */
  park (parked: Parked): string {
    const { principalId, instance, dialogue } = parked
    const own = [...this.#parked.values()].filter((other) => other.principalId === principalId).length
    if (this.#parked.size >= maxParked || own >= maxParkedPerPrincipal) throw new Refusal('PORTCULLIS_OVERLOADED', { message: 'Too many calls wait for answers already: answer those, or let them expire.' })
    const id = randomBytes(16).toString('base64url')
    this.#parked.set(id, { ...parked, expires: Date.now() + this.#ttlMs })
    instance.extend(dialogue.id, this.#ttlMs * 2) // whoever is parked is ended here, not by the deadline of its request
    instance.turns?.park(dialogue)
    return id
  }

  /** The call, for its next round; undefined when it was taken already, or ended. */
  take (id: string): Parked | undefined {
    const parked = this.#parked.get(id)
    this.#parked.delete(id)
    return parked
  }

  /** Ends every call that waits. */
  close (): void {
    clearInterval(this.#timer)
    this.#sweep(Infinity)
  }

  #sweep (now: number = Date.now()): void {
    for (const [id, parked] of this.#parked) {
      if (parked.expires > now) continue
      this.#parked.delete(id)
      giveUp(parked)
    }
  }
}

/** The upstream is told that nobody answered, and that the call is over. */
export function giveUp ({ instance, dialogue }: Pick<Parked, 'instance' | 'dialogue'>): void {
  dialogue.abandon()
  instance.cancel(dialogue.id, new Refusal('PORTCULLIS_STATE_EXPIRED'))
}
