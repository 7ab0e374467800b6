import { chainFields, memberColumns, numberColumns } from '../../../db/chain-copy.ts'

/**
 * Do the columns of a row as `copyChain` sends it say what its text says? True is certain: the text begins as `encode` in src/ledger/entry.ts writes
 * what the columns hold, member for member, and goes on with a member that no column has. False is not: an escape, a number in another form or
 * a time that is finer than a text can say has to be judged by the database.
 */
export function isAsEncoded (bytes: Buffer, view: DataView, starts: Int32Array, lengths: Int32Array): boolean {
  const text = starts[chainFields.body] ?? 0
  const end = text + (lengths[chainFields.body] ?? 0)
  let at = afterTime(bytes, view, starts[chainFields.ts] ?? 0, lengths[chainFields.ts] ?? 0, text, end)
  for (let n = 0; n < members.length; n++) {
    if (n === TRACE_BEFORE && at !== OTHER) at = afterTrace(bytes, at, end)
    if (at === OTHER) return false
    const member = members[n]
    const start = starts[chainFields.members + n] ?? 0
    const length = lengths[chainFields.members + n] ?? 0
    if (length === NULL || member === undefined) continue
    at = afterLabel(bytes, member.label, at, end)
    if (at === OTHER) return false
    at = member.type === 'text' ? afterText(bytes, start, length, at, end) : afterNumber(bytes, view, start, length, member.type, at, end)
  }
  return at !== OTHER && isFollowed(bytes, at, end)
}

const NULL = -1
const OTHER = -1

/** The members that columns repeat, in the order of the text. */
const members = memberColumns.map((name) => {
  const type: 'text' | 'double' | 'bigint' = numberColumns.get(name) ?? 'text'
  return { type, label: Buffer.from(type === 'text' ? `,"${name}":"` : `,"${name}":`) }
})

/** The trace context stands in the middle and has no column. */
const TRACE_BEFORE = memberColumns.indexOf('method')
const trace = Buffer.from(',"trace":"')

/** What may follow: a member that no column holds, the most frequent first, or nothing. */
const others = [',"policy":', ',"digest":', '}', ',"detail":', ',"sealed":', ',"args":'].map(text => Buffer.from(text))

function isFollowed (bytes: Buffer, at: number, end: number): boolean {
  for (const other of others) if (afterLabel(bytes, other, at, end) !== OTHER) return true
  return false
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Each of these returns the place in the text behind what it compared, or OTHER. */
function afterLabel (bytes: Buffer, label: Buffer, at: number, end: number): number {
  const { length } = label
  if (at + length > end) return OTHER
  for (let n = 0; n < length; n++) if (bytes[at + n] !== label[n]) return OTHER
  return at + length
}

/** A quote or a backslash, and a column could pose as several, or as another text. */
function afterText (bytes: Buffer, start: number, length: number, at: number, end: number): number {
  if (at + length >= end) return OTHER
  for (let n = 0; n < length; n++) {
    const byte = bytes[at + n]
    if (byte !== bytes[start + n] || byte === QUOTE || byte === BACKSLASH) return OTHER
  }
  return bytes[at + length] === QUOTE ? at + length + 1 : OTHER
}

/** Digits are read as Postgres would: so few of them and such powers of ten are exact, and their quotient is the nearest double. */
function afterNumber (bytes: Buffer, view: DataView, start: number, length: number, type: 'double' | 'bigint', at: number, end: number): number {
  let value = 0
  let digits = 0
  let point = -1
  let byte = bytes[at] ?? 0
  while (at < end && ((byte >= ZERO && byte <= NINE) || (byte === POINT && point < 0))) {
    if (byte === POINT) point = digits
    else {
      value = value * 10 + byte - ZERO
      digits++
    }
    byte = bytes[++at] ?? 0
  }
  if (length !== NUMBER_BYTES || digits === 0 || digits > EXACT_DIGITS || point === 0 || point === digits) return OTHER
  if (type === 'bigint') return point < 0 && value === bigintAt(view, start) ? at : OTHER
  return (point < 0 ? value : value / (powers[digits - point] ?? 0)) === view.getFloat64(start) ? at : OTHER
}

const ZERO = 0x30
const NINE = 0x39
const POINT = 0x2e
const NUMBER_BYTES = 8
const EXACT_DIGITS = 15
const powers = Array.from({ length: EXACT_DIGITS + 1 }, (_, power) => 10 ** power)

/** Exact up to 2 ** 53; beyond that nearly, which is as different from what is exact. */
export function bigintAt (view: DataView, at: number): number {
  return view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
}

function afterTrace (bytes: Buffer, at: number, end: number): number {
  let place = afterLabel(bytes, trace, at, end)
  if (place === OTHER) return at
  while (place < end && bytes[place] !== QUOTE) if (bytes[place++] === BACKSLASH) return OTHER
  return place < end ? place + 1 : OTHER
}

function afterTime (bytes: Buffer, view: DataView, start: number, length: number, at: number, end: number): number {
  if (length !== NUMBER_BYTES || at + written.length + MILLISECONDS > end) return OTHER
  let within = bigintAt(view, start) - second
  if (!(within >= 0 && within < SECOND)) {
    if (!writeSecond(bigintAt(view, start))) return OTHER
    within = bigintAt(view, start) - second
  }
  const place = afterLabel(bytes, written, at, end)
  if (place === OTHER) return OTHER
  let milliseconds = 0
  for (let n = 0; n < 3; n++) {
    const digit = (bytes[place + n] ?? 0) - ZERO
    if (digit < 0 || digit > 9) return OTHER
    milliseconds = milliseconds * 10 + digit
  }
  return milliseconds * 1000 === within && bytes[place + 3] === ZULU && bytes[place + 4] === QUOTE ? place + MILLISECONDS : OTHER
}

const ZULU = 0x5a
/** In microseconds, which Postgres counts from the year 2000. */
const SECOND = 1_000_000
const EPOCH = Date.UTC(2000, 0, 1)
/** `123Z"` */
const MILLISECONDS = 5

/** The second that was last seen, and how a text of that second begins. */
let second = Number.NaN
const written = Buffer.from('{"ts":"2000-01-01T00:00:00.')

/** False for what is before 2000 or too late to be exact. */
function writeSecond (time: number): boolean {
  if (time < 0 || !Number.isSafeInteger(time)) return false
  second = time - time % SECOND
  written.write(new Date(EPOCH + second / 1000).toISOString().slice(0, '2000-01-01T00:00:00.'.length), '{"ts":"'.length, 'latin1')
  return true
}
