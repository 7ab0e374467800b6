#!/usr/bin/env node
// What the official SDK costs with no gateway: its Streamable HTTP server, a session a client, JSON answers.
//   http-sdk.mjs PORT
import { randomUUID } from 'node:crypto'
import http from 'node:http'

import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js'

import { filler } from '../payload.mjs'

const echo = { name: 'echo', description: 'Gives the text back.', inputSchema: { type: 'object', properties: { text: { type: 'string' }, pad: { type: 'integer' } }, required: ['text'] } }
const transports = new Map()

http.createServer(async (request, response) => {
  const session = request.headers['mcp-session-id']
  const transport = session === undefined ? await open() : transports.get(session)
  if (transport === undefined) response.writeHead(404).end()
  else await transport.handleRequest(request, response)
}).listen(Number(process.argv[2]), '127.0.0.1')

async function open () {
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    enableJsonResponse: true,
    onsessioninitialized: (id) => { transports.set(id, transport) },
    onsessionclosed: (id) => { transports.delete(id) },
  })
  await server().connect(transport)
  return transport
}

function server () {
  const one = new Server({ name: 'bench-sdk', version: '1.0.0' }, { capabilities: { tools: {} } })
  one.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [echo] }))
  one.setRequestHandler(CallToolRequestSchema, ({ params }) => {
    const { text, pad } = params.arguments
    return { content: [{ type: 'text', text: pad === undefined ? text : text + remembered(pad) }] }
  })
  return one
}

let last = { size: 0, text: '' }
function remembered (size) {
  if (last.size !== size) last = { size, text: filler(size) }
  return last.text
}
