import { didYouMean } from '../config/nearest.ts'
import { parseTime } from '../ledger/time.ts'
import { UsageError } from './usage-error.ts'

/** An option that says how long ago, or a date. Throws a UsageError that names the option. */
export function readTime (flag: string, text: string | undefined, now: number): Date | undefined {
  if (text === undefined) return undefined
  const time = parseTime(text, now)
  if (time === undefined) throw new UsageError(`${flag} ${JSON.stringify(text)} is neither how long ago (30m, 2h, 7d) nor a date (2026-11-24, 2026-11-24T08:30:00Z).`)
  return time
}

/** An option that is one of a few words. Throws a UsageError that names the option and the words. */
export function readChoice (flag: string, text: string | undefined, choices: readonly string[]): string | undefined {
  if (text === undefined || choices.includes(text)) return text
  throw new UsageError(`${flag} ${JSON.stringify(text)} is not one of ${choices.join(', ')}.${didYouMean(text, choices)}`)
}

/** For an option that may be given several times. */
export function collect (value: string, all: string[] = []): string[] {
  return [...all, value]
}
