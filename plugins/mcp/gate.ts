import type { Parking } from '../../src/bridge/parking.ts'
import type { Call } from '../../src/call.ts'
import type { Config } from '../../src/config/config.ts'
import type { Guards } from '../../src/guard/guards.ts'
import type { Captures } from '../../src/ledger/capture.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { Log } from '../../src/log.ts'
import type { Metrics } from '../../src/metrics/metrics.ts'
import type { Policy } from '../../src/policy/policy.ts'
import type { Sessions } from '../../src/sessions.ts'
import type { Supervisor } from '../../src/upstreams/supervisor.ts'
import type { FastifyInstance } from 'fastify'
import type { Catalog } from './catalog.ts'
import type { EndedSessions } from './ended-sessions.ts'
import type { Patience } from './patience.ts'
import type { Replays } from './replays.ts'
import type { Streams } from './streams.ts'
import type { UnderWay } from './under-way.ts'

/** One named check or action. Returns to let the call go on, throws a Refusal to end it. */
export type Step = (call: Call) => void | Promise<void>

/** What the steps work with. Built once in app.ts. */
export interface Gate {
  readonly underWay: UnderWay
  readonly config: Config
  readonly policy: Policy
  readonly limits: FastifyInstance['limits']
  readonly guards: Guards
  readonly ledger: Ledger
  readonly captures: Captures
  readonly supervisor: Supervisor
  readonly sessions: Sessions
  readonly endedSessions: EndedSessions
  readonly catalog: Catalog
  readonly streams: Streams
  readonly replays: Replays
  readonly patience: Patience
  /** Calls that wait for their client to come back with answers. */
  readonly parking: Parking
  /** Key that requestState is sealed with. */
  readonly stateKey: Buffer
  readonly metrics: Metrics
  readonly log: Log
}
