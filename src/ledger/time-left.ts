import type { AuditSpec } from '../config/config.ts'

/**
 * How many milliseconds calls go on while the database takes nothing: until `audit.max_outage` is over, or until
 * `audit.spool_max` is reached at the pace at which records came since. Undefined while it takes what there is.
 */
export function timeLeft (stalledMs: number, waitingBytes: number, { maxOutage, spoolMax }: Pick<AuditSpec, 'maxOutage' | 'spoolMax'>): number | undefined {
  if (stalledMs === 0) return undefined
  const pace = waitingBytes / stalledMs
  const room = Math.max(0, spoolMax - waitingBytes)
  return Math.round(Math.min(Math.max(0, maxOutage - stalledMs), pace === 0 ? Infinity : room / pace))
}
