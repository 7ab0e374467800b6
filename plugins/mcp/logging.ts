import type { Answered, Call } from '../../src/call.ts'
import { Refusal } from '../../src/errors.ts'
import { isLogLevel, logLevels } from '../../src/protocol/era.ts'
import type { LogLevel } from '../../src/protocol/era.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Gate } from './gate.ts'
import { instanceOf } from './send.ts'
import { mostVerbose } from './streams.ts'

/** The level is kept for the session; the upstreams of this principal log at the most verbose one of its sessions. */
export async function setLevel (gate: Gate, call: Call): Promise<Answered> {
  const level = call.params['level']
  if (!isLogLevel(level)) throw new Refusal('PORTCULLIS_INVALID_PARAMS', { message: `params.level must be one of ${logLevels.join(', ')}.` })
  if (call.arrival.endpoint !== undefined && !logs(await instanceOf(gate, call))) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD', { message: 'Method not found: this upstream has no logging.' })
  if (call.session !== undefined) call.session.logLevel = level
  for (const instance of gate.supervisor.instances()) if (instance.owner.split(' ')[0] === call.principal.id) applyLevel(gate, instance)
  return { kind: 'result', text: '{}', toolError: false }
}

/**
 * Tells an instance the level its owner's sessions want, or a call of a 2026-07-28 client (`wanted`), whichever is the
 * most verbose; each of them hears its own share. Does nothing where nobody asked or nothing logs.
 */
export function applyLevel ({ sessions }: Pick<Gate, 'sessions'>, instance: Instance, wanted?: LogLevel): void {
  if (instance.era !== 'legacy' || instance.owner === '*' || !logs(instance)) return // a 2026-07-28 upstream is told with every request
  const level = mostVerbose([wanted, ...[...sessions.of(instance.owner.split(' ')[0] ?? '')].map(({ logLevel }) => logLevel)])
  if (level === undefined || level === instance.logLevel) return
  instance.logLevel = level
  instance.request('logging/setLevel', () => JSON.stringify({ level }), { answer () {}, fail () {} })
}

function logs (instance: Instance): boolean {
  return instance.introduction.capabilities['logging'] !== undefined
}
