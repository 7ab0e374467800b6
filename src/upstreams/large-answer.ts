import { isUtf8 } from 'node:buffer'
import { outline } from '../protocol/json-bytes.ts'
import { Spliced } from '../protocol/spliced.ts'
import type { Incoming } from './answer.ts'

/** Lines of so many bytes are not decoded if they need not be. */
const large = 1024 * 1024

const heads = [/^\{"jsonrpc":"2\.0","id":(\d{1,15}),"result":(?=\{)/, /^\{"result":(?=\{)/]
const headBytes = 64

/**
 * A large result in the shapes every SDK writes (see answer.ts), checked byte by byte and passed on as it is.
 * Undefined for everything else, which takes the common way: small lines, errors, other shapes, text that is not JSON.
 */
export function readLarge (line: Buffer): Incoming | undefined {
  if (line.length < large) return undefined
  const head = line.toString('latin1', 0, headBytes)
  const found = heads.map((shape) => shape.exec(head)).find((match) => match !== null)
  // A carriage return is white space in JSON, and ends a line in an event stream.
  if (found === undefined || line.includes(13) || !isUtf8(line)) return undefined
  const start = found[0].length
  const read = outline(line, start)
  const tail = read === undefined ? undefined : line.toString('latin1', read.end, Math.min(line.length, read.end + headBytes))
  const id = found[1] === undefined ? /^,"jsonrpc":"2\.0","id":(\d{1,15})\}$/.exec(tail ?? '')?.[1] : tail === '}' ? found[1] : undefined
  if (read === undefined || id === undefined || read.members.size === 0) return undefined
  const valueOf = (name: string): unknown => {
    const [from, to] = read.members.get(name) ?? [0, 0]
    return from === to ? undefined : JSON.parse(line.toString('utf8', from, to))
  }
  return {
    kind: 'answer',
    id: Number(id),
    answer: { kind: 'result', text: new Spliced('', line.subarray(start, read.end), ''), isError: valueOf('isError') === true, hasMeta: read.members.has('_meta'), resultType: valueOf('resultType') },
  }
}
