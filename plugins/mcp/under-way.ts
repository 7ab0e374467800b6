import type { Call, Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'

/**
 * The messages that are on their way through the pipeline. A list whose members know their place: that costs a call less
 * than a Set, which is rebuilt all the time.
 */
export class UnderWay {
  readonly #calls: Call[] = []

  get size (): number {
    return this.#calls.length
  }

  add (call: Call): void {
    call.place = this.#calls.push(call) - 1
  }

  delete (call: Call): void {
    const { place } = call
    if (place < 0) return
    call.place = -1
    const last = this.#calls.pop()
    if (last === undefined || last === call) return
    this.#calls[place] = last
    last.place = place
  }

  /**
   * Gives up the calls of a user whose credential is not honoured any more: whoever ends a token does not want its last
   * answer either. A database that cannot be asked ends nothing that was begun in time.
   */
  recheck (userId: string, authenticate: (authorization: string | undefined) => Promise<Principal>): void {
    for (const call of [...this.#calls]) {
      if (call.principal.id !== userId) continue
      authenticate(call.arrival.headers['authorization'] as string | undefined).catch((error: unknown) => {
        if (error instanceof Refusal && error.status === 401) call.giveUp(error)
      })
    }
  }
}
