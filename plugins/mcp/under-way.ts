import type { Call, Principal } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { Roster } from '../../src/roster.ts'

/** The messages that are on their way through the pipeline. */
export class UnderWay extends Roster<Call> {
  /**
   * Gives up the calls of a user whose credential is not honoured any more: whoever ends a token does not want its last
   * answer either. A database that cannot be asked ends nothing that was begun in time.
   */
  recheck (userId: string, authenticate: (authorization: string | undefined) => Promise<Principal>): void {
    for (const call of this.all()) {
      if (call.principal.id !== userId) continue
      authenticate(call.arrival.headers['authorization'] as string | undefined).catch((error: unknown) => {
        if (error instanceof Refusal && error.status === 401) call.giveUp(error)
      })
    }
  }
}
