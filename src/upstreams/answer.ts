import { isOneObject } from '../protocol/json-text.ts'
import { isObject } from '../protocol/message.ts'
import type { Json } from '../protocol/spliced.ts'
import { readLarge } from './large-answer.ts'

/** An upstream's answer to one request, ready to be passed on without building it again. */
export type Answer =
  | { readonly kind: 'result', readonly text: Json, readonly isError: boolean, readonly hasMeta: boolean, readonly resultType: unknown }
  | { readonly kind: 'error', readonly code: number, readonly message: string, readonly data: unknown }

/** What a line on a child's stdout turned out to be. */
export type Incoming =
  | { readonly kind: 'answer', readonly id: number, readonly answer: Answer }
  | { readonly kind: 'notification', readonly method: string, readonly params: Record<string, unknown> }
  | { readonly kind: 'request', readonly id: unknown, readonly method: string, readonly params: Record<string, unknown> }
  | { readonly kind: 'noise' }
  | { readonly kind: 'unmatched' }

const noise: Incoming = { kind: 'noise' }

/**
 * Reads one line. Ours are ids that are integers; anything that is not one JSON-RPC object is noise (servers
 * print banners). Extra members and `error: null` beside a result are tolerated, as real servers send them.
 */
export function readIncoming (line: Buffer): Incoming {
  const large = readLarge(line)
  if (large !== undefined) return large
  const text = line.toString('utf8')
  const message = parse(text)
  if (!isObject(message)) return noise
  if (typeof message['method'] === 'string') {
    const { id, method, params } = message
    const given = isObject(params) ? params : {}
    return id === undefined ? { kind: 'notification', method, params: given } : { kind: 'request', id, method, params: given }
  }
  if (message['id'] === undefined) return noise
  const id = idOf(message['id'])
  if (id === undefined) return { kind: 'unmatched' }
  const answer = readAnswer(text, message)
  return answer === undefined ? noise : { kind: 'answer', id, answer }
}

/** One of our ids, also where a server made a text of it: its call would wait for nothing. */
function idOf (given: unknown): number | undefined {
  if (typeof given === 'string' && /^[1-9]\d{0,14}$/.test(given)) return Number(given)
  return Number.isSafeInteger(given) ? given as number : undefined
}

function parse (text: string): unknown {
  if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function readAnswer (text: string, message: Record<string, unknown>): Answer | undefined {
  const { result, error } = message
  if (isObject(error)) {
    const code = Number.isSafeInteger(error['code']) ? error['code'] as number : -32603
    return { kind: 'error', code, message: typeof error['message'] === 'string' ? error['message'] : 'Upstream error', data: error['data'] }
  }
  if (!isObject(result)) return undefined
  return {
    kind: 'result',
    text: resultText(text, message) ?? stringify(result),
    isError: result['isError'] === true,
    hasMeta: result['_meta'] !== undefined,
    resultType: result['resultType'],
  }
}

/** Re-serialised; refused where it is nested so deeply that this cannot be done. */
function stringify (result: Record<string, unknown>): string {
  try {
    return JSON.stringify(result)
  } catch {
    return '{"content":[{"type":"text","text":"The upstream\'s answer is nested too deeply to be passed on."}],"isError":true}'
  }
}

/**
 * The bytes of `result` cut out of the line in the two shapes every SDK writes, so that nothing is re-serialised:
 * `{"jsonrpc":"2.0","id":N,"result":{…}}` and `{"result":{…},"jsonrpc":"2.0","id":N}`.
 * Anything else, or a result that hides further members behind its closing brace, takes the slow path.
 */
function resultText (text: string, message: Record<string, unknown>): string | undefined {
  // A carriage return is white space in JSON, and ends a line in an event stream.
  if (Object.keys(message).length !== 3 || text.includes('\r')) return undefined
  const id = String(message['id'])
  const head = `{"jsonrpc":"2.0","id":${id},"result":`
  const tail = `,"jsonrpc":"2.0","id":${id}}`
  const cut = text.startsWith(head)
    ? text.slice(head.length, -1)
    : text.startsWith('{"result":') && text.endsWith(tail) ? text.slice(10, -tail.length) : undefined
  return cut !== undefined && isOneObject(cut) ? cut : undefined
}
