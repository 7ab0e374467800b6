import { parseDuration } from '../config/units.ts'

/** How long ago (`30m`, `2h`, `7d`), or a date (`2026-11-24`, `2026-11-24T08:30:00Z`); undefined when it is neither. */
export function parseTime (text: string, now: number): Date | undefined {
  const ago = parseDuration(text)
  const time = new Date(Number.isNaN(ago) ? (/^\d{4}-\d\d-\d\d/.test(text) ? text : NaN) : now - ago)
  return Number.isNaN(time.getTime()) ? undefined : time
}
