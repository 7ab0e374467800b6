// One HTTP/1.1 answer, read from the bytes that have come so far. Pure.

const headEnd = Buffer.from('\r\n\r\n')

/**
 * The answer at the start of `bytes`: { status, type, session, closes, body, end } with `end` the index behind it.
 * While it is incomplete: { needs }, the least number of bytes that is worth another look.
 * @throws Error when it is no HTTP answer
 */
export function readAnswer (bytes) {
  const at = bytes.indexOf(headEnd)
  if (at < 0) return { needs: bytes.length + 1 }
  const head = readHead(bytes.latin1Slice(0, at))
  const start = at + headEnd.length
  const body = head.chunked ? readChunks(bytes, start) : readLength(bytes, start, head.length)
  return body.needs === undefined ? { ...head, ...body } : body
}

function readHead (text) {
  if (!text.startsWith('HTTP/1.1 ')) throw new Error('not an HTTP/1.1 answer')
  return {
    status: Number(text.slice(9, 12)),
    length: Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0),
    chunked: /\r\ntransfer-encoding: *chunked/i.test(text),
    type: /\r\ncontent-type: *([^;\r\n]+)/i.exec(text)?.[1].trim() ?? '',
    session: /\r\nmcp-session-id: *([^\r\n]+)/i.exec(text)?.[1],
    closes: /\r\nconnection: *close/i.test(text),
  }
}

function readLength (bytes, start, length) {
  const end = start + length
  return bytes.length < end ? { needs: end } : { body: bytes.subarray(start, end), end }
}

function readChunks (bytes, start) {
  const chunks = []
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf('\r\n', at)
    if (lineEnd < 0) return { needs: bytes.length + 1 }
    const size = Number.parseInt(bytes.latin1Slice(at, lineEnd), 16)
    if (Number.isNaN(size)) throw new Error('a chunk without a size')
    const from = lineEnd + 2
    const end = from + size + 2
    if (bytes.length < end) return { needs: end }
    if (size === 0) return { body: chunks.length === 1 ? chunks[0] : Buffer.concat(chunks), end }
    chunks.push(bytes.subarray(from, from + size))
    at = end
  }
}
