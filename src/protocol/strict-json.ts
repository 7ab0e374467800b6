import { isAscii, isUtf8 } from 'node:buffer'
import { Refusal } from '../errors.ts'
import { endOfString, memberText } from './json-text.ts'

/** Deepest nesting of objects and arrays a message may have. Real schemas and arguments stay below 25. */
export const maxDepth = 64

export interface StrictJson {
  readonly value: unknown
  readonly text: string
  /** True when a number may not survive JSON.parse and JSON.stringify unchanged (2^53+1, 1.0, 1e400, -0). */
  readonly exotic: boolean
}

/**
 * Parses a body so that it has exactly one meaning: valid UTF-8 without a byte order mark, valid JSON, no member
 * named twice in one object, at most `maxDepth` levels. What was checked is then also what is executed, whatever
 * parser the upstream uses.
 * @throws Refusal PORTCULLIS_PARSE_ERROR or PORTCULLIS_INVALID_REQUEST
 */
export function parseStrict (body: Buffer): StrictJson {
  if (body.length === 0) throw new Refusal('PORTCULLIS_PARSE_ERROR', { message: 'The body is empty: send one JSON-RPC message.' })
  if (body[0] === 0xef && body[1] === 0xbb) throw new Refusal('PORTCULLIS_PARSE_ERROR', { message: 'The body starts with a byte order mark: send plain UTF-8.' })
  const ascii = isAscii(body)
  if (!ascii && !isUtf8(body)) throw new Refusal('PORTCULLIS_PARSE_ERROR', { message: 'The body is not valid UTF-8.' })
  const text = ascii ? body.toString('latin1') : body.toString('utf8')
  const value = parse(text)
  const shape = scan(text)
  if (shape.depth > maxDepth) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: `The body is nested ${shape.depth} levels deep; at most ${maxDepth} are accepted.` })
  if (shape.members !== countMembers(value)) throw new Refusal('PORTCULLIS_INVALID_REQUEST', { message: 'An object in the body has the same member twice. Send each member once.' })
  return { value, text, exotic: shape.exotic }
}

/**
 * The text of `params.arguments` as it was sent, on one line; undefined when there is none.
 * Raw line breaks can only stand between tokens of valid JSON, so replacing them changes nothing.
 */
export function rawArguments (text: string): string | undefined {
  const params = memberText(text, 'params')
  const raw = params === undefined ? undefined : memberText(params, 'arguments')
  return raw?.replace(/[\r\n]/g, ' ')
}

function parse (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Refusal('PORTCULLIS_PARSE_ERROR', { message: `The body is not valid JSON: ${(cause as Error).message.slice(0, 120)}`, cause })
  }
}

/** One pass over valid JSON text: how deep, how many object members, whether a numeral looks risky. */
function scan (text: string): { depth: number, members: number, exotic: boolean } {
  let depth = 0
  let deepest = 0
  let members = 0
  let digits = 0
  let exotic = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 34) { i = endOfString(text, i); digits = 0; continue }
    if (c >= 48 && c <= 57) { if (++digits > 15) exotic = true; continue }
    if (digits > 0 && (c === 46 || c === 69 || c === 101)) exotic = true // 1.5 1E5 1e5
    digits = 0
    if (c === 58) members++
    else if (c === 123 || c === 91) { if (++depth > deepest) deepest = depth } else if (c === 125 || c === 93) depth--
    else if (c === 45 && text.charCodeAt(i + 1) === 48) exotic = true // -0
  }
  return { depth: deepest, members, exotic }
}

function countMembers (value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object') count += countMembers(item)
    return count
  }
  // JSON.parse makes plain objects, which inherit nothing that would be listed here.
  for (const key in value) {
    count++
    const member = (value as Record<string, unknown>)[key]
    if (typeof member === 'object') count += countMembers(member)
  }
  return count
}
