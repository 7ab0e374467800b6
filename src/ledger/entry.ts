/** What a record is about. An allowed call has two: its intent (`call`) and its `outcome`; so has an allowed connection (`egress`). */
export const kinds = [
  'call', 'outcome', 'refusal', 'notification', 'session', 'list',
  /** What an upstream asked of a client in the middle of a call, and what a client of the session era answered. */
  'ask', 'answer',
  'login', 'logout', 'token', 'user', 'config', 'admin', 'gateway', 'upstream',
  /** A connection that an upstream asked for; `detail.calls` has the records of the calls it was working on. */
  'egress',
  /** Written at the next start for an intent whose process died before the outcome was known. */
  'recovered',
] as const

export type Kind = typeof kinds[number]

export type Outcome = 'ok' | 'tool_error' | 'error' | 'timeout' | 'cancelled' | 'crashed' | 'refused' | 'unknown'

/** What all records of one conversation have in common. Its text is made once, so whoever keeps one saves encoding it again. */
export class Speaker {
  readonly principal: { readonly id: string, readonly name: string }
  readonly token: string | undefined
  readonly client: string | undefined
  readonly session: string | undefined
  /** Address of the peer. */
  readonly source: string | undefined
  readonly era: string | undefined
  /** The members of its record, as JSON text that starts with a comma. */
  readonly text: string

  constructor (facts: Omit<Speaker, 'text'>) {
    this.principal = facts.principal
    this.token = facts.token
    this.client = facts.client
    this.session = facts.session
    this.source = facts.source
    this.era = facts.era
    this.text = spoken(facts)
  }
}

/** One record. Everything but kind and record may be left out. Strings longer than 400 characters are cut. */
export interface Entry {
  readonly kind: Kind
  /** From `newRecord`. An outcome carries the record of its intent. */
  readonly record: string
  /** In place of principal, token, client, session, source and era. */
  readonly speaker?: Speaker | undefined
  readonly principal?: { readonly id: string, readonly name: string } | undefined
  readonly token?: string | undefined
  readonly client?: string | undefined
  readonly session?: string | undefined
  /** W3C trace context. */
  readonly trace?: string | undefined
  /** Address of the peer. */
  readonly source?: string | undefined
  readonly era?: string | undefined
  readonly method?: string | undefined
  readonly upstream?: string | undefined
  /** Name of the tool or prompt, or URI of the resource. */
  readonly target?: string | undefined
  /** JSON text, already redacted. */
  readonly args?: string | undefined
  /** Of the arguments before redaction; in an outcome, of the result. As `sha256:` and hexadecimal digits: it is written as it is. A function is asked when the record is written. */
  readonly digest?: string | (() => string) | undefined
  /** The payload as `sealPayload` has it. */
  readonly sealed?: string | undefined
  readonly decision?: 'allow' | 'deny' | undefined
  readonly rule?: string | undefined
  /** Code of a refusal, or of an upstream's error. */
  readonly code?: string | undefined
  readonly outcome?: Outcome | undefined
  readonly durationMs?: number | undefined
  /** What came into the gateway for an attempt, and what went out; of an upstream's connection, what came to the upstream and what it sent. */
  readonly bytesIn?: number | undefined
  readonly bytesOut?: number | undefined
  /** Small; anything JSON can say. */
  readonly detail?: unknown
  /** Version of the configuration that decided. */
  readonly policy?: string | undefined
}

/**
 * The entry as one line of JSON without a newline, keys in fixed order and named as the columns of `ledger.event`.
 * The result is text that Postgres takes whatever the entry holds: no U+0000, no lone surrogates, no line breaks.
 */
export function encode (entry: Entry, time: string): string {
  let line = '{"ts":"' + time + '","kind":"' + entry.kind + '","record":' + quote(entry.record)
  line += entry.speaker === undefined ? spoken(entry) : entry.speaker.text
  if (entry.trace !== undefined) line += ',"trace":' + quote(entry.trace)
  if (entry.method !== undefined) line += ',"method":' + known(entry.method)
  if (entry.upstream !== undefined) line += ',"upstream":' + known(entry.upstream)
  if (entry.target !== undefined) line += ',"tool":' + quote(entry.target)
  if (entry.decision !== undefined) line += ',"decision":"' + entry.decision + '"'
  if (entry.rule !== undefined) line += ',"rule":' + known(entry.rule)
  if (entry.code !== undefined) line += ',"code":' + known(entry.code)
  if (entry.outcome !== undefined) line += ',"outcome":"' + entry.outcome + '"'
  if (entry.durationMs !== undefined) line += ',"duration_ms":' + hundredths(entry.durationMs)
  if (entry.bytesIn !== undefined) line += ',"bytes_in":' + whole(entry.bytesIn)
  if (entry.bytesOut !== undefined) line += ',"bytes_out":' + whole(entry.bytesOut)
  if (entry.policy !== undefined) line += ',"policy":' + known(entry.policy)
  if (entry.digest !== undefined) line += ',"digest":"' + (typeof entry.digest === 'string' ? entry.digest : entry.digest()) + '"'
  if (entry.sealed !== undefined) line += ',"sealed":"' + entry.sealed + '"'
  if (entry.args !== undefined) line += ',"args":' + storable(entry.args)
  if (entry.detail !== undefined) line += ',"detail":' + storable(JSON.stringify(entry.detail) ?? 'null')
  return line + '}'
}

function spoken ({ principal, token, client, session, source, era }: Omit<Entry, 'kind' | 'record'>): string {
  let text = ''
  if (principal !== undefined) text += ',"principal_id":' + known(principal.id) + ',"principal":' + known(principal.name)
  if (token !== undefined) text += ',"token_id":' + known(token)
  if (client !== undefined) text += ',"client":' + known(client)
  if (session !== undefined) text += ',"session":' + known(session)
  if (source !== undefined) text += ',"source":' + known(source)
  if (era !== undefined) text += ',"era":' + known(era)
  return text
}

/** Two such strings fit a btree entry of Postgres (2704 bytes) in any script. */
const LONGEST = 400

/** What JSON escapes, other control characters, and what could be half a surrogate pair. */
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const AWKWARD = /["\\\u0000-\u001f\u007f-\u009f\ud800-\udfff]/

function quote (text: string): string {
  if (text.length <= LONGEST && !AWKWARD.test(text)) return '"' + text + '"'
  const short = text.length > LONGEST ? text.slice(0, LONGEST - 1) + '…' : text
  return storable(JSON.stringify(short))
}

/** Names of people, clients, upstreams and rules come again and again: a look-up costs a third of a scan. */
let quoted = new Map<string, string>()
const REMEMBERED = 4096

function known (text: string): string {
  const seen = quoted.get(text)
  if (seen !== undefined) return seen
  if (text.length > LONGEST) return quote(text) // it would be kept whole, and who sends it chooses how long it is
  if (quoted.size >= REMEMBERED) quoted = new Map()
  const fresh = quote(text)
  quoted.set(text, fresh)
  return fresh
}

/** Escapes that `json` accepts but cannot turn into text become U+FFFD; a pair of surrogates stays. */
const ESCAPES = /\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u0000|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\./g

function storable (json: string): string {
  let text = json
  // A raw line break in valid JSON is white space between tokens.
  if (text.includes('\n') || text.includes('\r')) text = text.replaceAll(/[\n\r]/g, ' ')
  if (text.includes('\\u')) text = text.replaceAll(ESCAPES, escape => escape.length === 6 && !escape.startsWith('\\u', 6) ? '\\ufffd' : escape)
  return text
}

function hundredths (value: number): string {
  if (!Number.isFinite(value)) return 'null'
  const all = Math.round(value * 100)
  // Whole numbers are written faster than fractions: a duration is put together from two.
  if (all < 0 || all > 0x3fffffff) return String(all / 100)
  const rest = all % 100
  const units = String((all - rest) / 100)
  if (rest === 0) return units
  return rest % 10 === 0 ? units + '.' + String(rest / 10) : units + (rest < 10 ? '.0' : '.') + String(rest)
}

function whole (value: number): string {
  return Number.isFinite(value) ? String(Math.trunc(value)) : 'null'
}
