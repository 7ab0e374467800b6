#!/usr/bin/env node
// The upstream of every contender that has one: a stdio MCP server with no SDK and no framework, so that what stands
// in front of it is what is measured. Its only tool is echo: {text} gives the text back, {text, pad} the text and
// filler up to `pad` bytes in all (a small request with a large answer). With the name of an era as its argument it speaks
// that era only.
import { escapedFiller } from '../payload.mjs'

const modernVersion = '2026-07-28'
const versionKey = 'io.modelcontextprotocol/protocolVersion'
const newline = 10

const tools = [{
  name: 'echo',
  description: 'Gives the text back, followed by filler up to `pad` bytes if asked.',
  inputSchema: {
    type: 'object',
    properties: { text: { type: 'string', maxLength: 65_536 }, pad: { type: 'integer', minimum: 20, maximum: 16_777_216 } },
    required: ['text'],
    additionalProperties: false,
  },
}]

const serverInfo = { name: 'bench-echo', version: '1.0.0' }
const capabilities = { tools: {} }

const methods = {
  initialize: (params) => ({ protocolVersion: params.protocolVersion, capabilities, serverInfo }),
  ping: () => ({}),
  'server/discover': () => ({ supportedVersions: [modernVersion], capabilities, serverInfo, ttlMs: 0, cacheScope: 'public' }),
  'tools/list': (params) => params._meta?.[versionKey] === undefined ? { tools } : { tools, ttlMs: 60_000, cacheScope: 'public' },
}

if (process.argv[2] === 'legacy') delete methods['server/discover']
if (process.argv[2] === 'modern') delete methods.initialize

const pending = []
let answers = ''

process.stdin.on('data', (chunk) => {
  let start = 0
  for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
    const piece = chunk.subarray(start, end)
    answer(pending.length === 0 ? piece.utf8Slice() : Buffer.concat([...pending.splice(0), piece]).utf8Slice())
    start = end + 1
  }
  if (start < chunk.length) pending.push(chunk.subarray(start))
  flush()
})
process.stdin.on('end', () => process.exit(0))

/** Everything that one chunk of input asked for goes out in one write. */
function flush () {
  if (answers === '') return
  process.stdout.write(answers)
  answers = ''
}

function answer (line) {
  const message = parse(line)
  if (message?.id === undefined || message.method === undefined) return
  const params = message.params ?? {}
  const id = JSON.stringify(message.id)
  const modern = params._meta?.[versionKey] !== undefined ? '"resultType":"complete",' : ''
  if (message.method === 'tools/call' && params.name === 'echo') answers += echo(id, modern, params.arguments ?? {})
  else answers += `{"jsonrpc":"2.0","id":${id},${outcome(message.method, params, modern)}}\n`
}

function echo (id, modern, { text, pad }) {
  const rest = pad === undefined ? '' : escapedFiller(pad)
  return `{"jsonrpc":"2.0","id":${id},"result":{${modern}"content":[{"type":"text","text":"${JSON.stringify(String(text)).slice(1, -1)}${rest}"}]}}\n`
}

function outcome (method, params, modern) {
  if (!Object.hasOwn(methods, method)) return '"error":{"code":-32601,"message":"Method not found"}'
  const members = JSON.stringify(methods[method](params)).slice(1)
  return `"result":{${members === '}' ? modern.slice(0, -1) : modern}${members}`
}

function parse (line) {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
