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

const heartbeatMs = 1_000

/** Sessions that were ended here or elsewhere stay so; resolves when those of the past are known. */
export async function openEndedSessions ({ database, sessions, log }: { database: Database, sessions: Sessions, log: Log }): Promise<EndedSessions> {
  const { db } = database
  const readAll = async (): Promise<void> => {
    for (const seal of await endedSessions(db, new Date())) sessions.deny(seal)
  }
  const subscription = await listen({
    url: database.url,
    channel: ENDED_SESSIONS_CHANNEL,
    heartbeat: heartbeatMs,
    now: Date.now,
    onNotify: (seal) => sessions.deny(seal),
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
