import { Refusal } from '../errors.ts'
import type { Attempt, AttemptFilter } from './query.ts'
import { parseTime } from './time.ts'

/** What somebody asks of the ledger over HTTP. */
export interface LedgerRequest {
  readonly filter: AttemptFilter
  readonly limit: number
}

const MOST = 1_000
const USUAL = 100
const words = ['user', 'upstream', 'tool', 'kind', 'outcome', 'decision', 'code', 'text'] as const
const known: readonly string[] = [...words, 'since', 'until', 'limit', 'cursor']

/** Reads the parameters of an address. Refuses (400) what is not known, given twice or not readable. */
export function readRequest (query: Readonly<Record<string, unknown>>, now: number): LedgerRequest {
  for (const [name, value] of Object.entries(query)) {
    if (!known.includes(name)) throw invalid(`There is no parameter ${JSON.stringify(name.slice(0, 24))}. There are ${known.join(', ')}.`)
    if (typeof value !== 'string') throw invalid(`"${name}" can be given once.`)
    if (value.length > 1_000) throw invalid(`"${name}" is longer than 1000 characters.`)
  }
  const given = query as Readonly<Record<string, string | undefined>>
  return {
    filter: {
      ...Object.fromEntries(words.flatMap(name => given[name] === undefined ? [] : [[name, given[name]]])),
      since: timeIn('since', given['since'], now),
      until: timeIn('until', given['until'], now),
      before: given['cursor'] === undefined ? undefined : readPlace(given['cursor']),
    },
    limit: limitIn(given['limit']),
  }
}

/** Where the page after this attempt begins, as one word. */
export function placeOf ({ time, chain_id: chain, seq }: Attempt): string {
  return Buffer.from(JSON.stringify([time.getTime(), chain, seq])).toString('base64url')
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

function readPlace (text: string): NonNullable<AttemptFilter['before']> {
  try {
    const [time, chain, seq] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[]
    if (typeof time === 'number' && Math.abs(time) < 8e15 && typeof chain === 'string' && UUID.test(chain) && Number.isSafeInteger(seq)) return { time: new Date(time), chain_id: chain, seq: Number(seq) }
  } catch {
    // It is not one, as below.
  }
  throw invalid('"cursor" must be what an earlier page gave as "next".')
}

function timeIn (name: string, text: string | undefined, now: number): Date | undefined {
  if (text === undefined) return undefined
  const time = parseTime(text, now)
  if (time === undefined) throw invalid(`"${name}" must be how long ago (30m, 2h, 7d) or a date (2026-11-24, 2026-11-24T08:30:00Z).`)
  return time
}

function limitIn (text: string | undefined): number {
  if (text === undefined) return USUAL
  if (!/^[1-9]\d{0,3}$/.test(text) || Number(text) > MOST) throw invalid(`"limit" must be a number from 1 to ${MOST}.`)
  return Number(text)
}

function invalid (message: string): Refusal {
  return new Refusal('PORTCULLIS_INVALID_REQUEST', { message })
}
