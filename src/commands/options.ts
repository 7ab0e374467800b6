import { parseDuration } from '../config/units.ts'

/** An option that says how long ago, or a date. Throws an Error that names the option. */
export function readTime (flag: string, text: string | undefined, now: number): Date | undefined {
  if (text === undefined) return undefined
  const ago = parseDuration(text)
  const time = new Date(Number.isNaN(ago) ? (/^\d{4}-\d\d-\d\d/.test(text) ? text : NaN) : now - ago)
  if (Number.isNaN(time.getTime())) throw new Error(`${flag} ${JSON.stringify(text)} is neither how long ago (30m, 2h, 7d) nor a date (2026-11-24, 2026-11-24T08:30:00Z).`)
  return time
}
