// Is this the answer to that call? Everything is checked, in every answer: status, type, id, and the text, which no
// other call has. Filler is compared as bytes and cut out; what is left is parsed in full.
import { escapedFiller, tagBytes } from './payload.mjs'

/** A check (answer, id, text) → '' when it is right, else what is wrong with it. `pad` as in the request. */
export function answerCheck (pad) {
  const filler = pad === undefined ? Buffer.alloc(0) : Buffer.from(escapedFiller(pad), 'latin1')
  return ({ status, type, body }, id, text) => {
    if (status !== 200) return `HTTP ${status}: ${excerpt(body)}`
    const rest = filler.length === 0 ? body.utf8Slice() : withoutFiller(body, text, filler)
    if (rest === undefined) return 'wrong filler'
    if (type === 'application/json') return messageFault(parse(rest), id, text)
    if (type === 'text/event-stream') return messageFault(readEvents(rest).findLast(({ method }) => method === undefined), id, text)
    return `content type ${type || 'missing'}`
  }
}

/** The JSON-RPC result in an answer, whichever type it has; undefined when there is none. */
export function resultOf (answer) {
  return messageOf(answer)?.result
}

/** The result or error that an answer carries, as a message; undefined when there is none. */
export function messageOf ({ type, body }) {
  const messages = type === 'text/event-stream' ? readEvents(body.utf8Slice()) : [parse(body.utf8Slice())]
  return messages.find((message) => message?.result !== undefined || message?.error !== undefined)
}

function messageFault (message, id, text) {
  if (message?.jsonrpc !== '2.0') return 'no JSON-RPC message in the answer'
  if (message.id !== id) return 'wrong id'
  if (message.error !== undefined) return `error ${message.error.code}: ${message.error.message}`
  const said = message.result?.content?.[0]?.text
  if (message.result?.isError) return `tool error: ${said}`
  return said === text ? '' : 'wrong text'
}

function withoutFiller (body, text, filler) {
  const start = body.indexOf(text, 0, 'latin1') + tagBytes
  const end = start + filler.length
  if (start < tagBytes || end > body.length || body.compare(filler, 0, filler.length, start, end) !== 0) return undefined
  return body.utf8Slice(0, start) + body.utf8Slice(end)
}

function readEvents (text) {
  const data = text.split(/\r?\n\r?\n/).map((event) => event.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n'))
  return data.map(parse).filter((message) => message !== undefined)
}

function parse (text) {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function excerpt (body) {
  return body.utf8Slice(0, Math.min(body.length, 160))
}
