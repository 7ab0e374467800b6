import type { Database } from '../../db/connect.ts'
import { ENDED_SESSIONS_CHANNEL, endedSessions, noteEndedSession } from '../../db/ended-sessions.ts'
import { listen } from '../../db/listen.ts'
import type { Log } from '../../src/log.ts'
import { maxAgeMs } from '../../src/sessions.ts'
import type { Session, Sessions } from '../../src/sessions.ts'

/** Tells the other gateways, and this one after a restart, which sessions were ended. */
export interface EndedSessions {
  /** Ends a session for good, everywhere. */
  end (session: Session): Promise<void>
  close (): Promise<void>
}

interface Options {
  readonly database: Database
  readonly sessions: Sessions
  /** Hears of each session that was ended elsewhere while it was used here. */
  readonly onEnded: (session: Session) => void
  readonly log: Log
}

const heartbeatMs = 1_000

/** Sessions that were ended here or elsewhere stay so; resolves when those of the past are known. */
export async function openEndedSessions ({ database, sessions, onEnded, log }: Options): Promise<EndedSessions> {
  const { db } = database
  const deny = (seal: string): void => {
    const session = sessions.deny(seal)
    if (session !== undefined) onEnded(session)
  }
  const readAll = async (): Promise<void> => {
    for (const seal of await endedSessions(db, new Date())) deny(seal)
  }
  const subscription = await listen({
    url: database.url,
    channel: ENDED_SESSIONS_CHANNEL,
    heartbeat: heartbeatMs,
    now: Date.now,
    onNotify: deny,
    onUp: () => { readAll().catch((error: unknown) => log.warn({ err: error }, 'which sessions were ended elsewhere could not be read')) },
    onAlive: () => {},
  })
  await readAll()
  return {
    async end (session) {
      sessions.end(session)
      await noteEndedSession(db, session.seal, new Date(Date.now() + maxAgeMs)).catch((error: unknown) => {
        log.error({ err: error, session: session.label }, 'an ended session is not in the database: it would come back after a restart')
      })
    },
    close: async () => await subscription.close(),
  }
}
