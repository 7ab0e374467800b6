// The fixture over HTTP, without any gateway: what the scenarios are measured against first. Port: PORT.
import { randomUUID } from 'node:crypto'
import { createServer as createHttpServer } from 'node:http'
import { Readable } from 'node:stream'

import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { createMcpHandler, hostHeaderValidationResponse, isLegacyRequest, localhostAllowedHostnames, localhostAllowedOrigins, originValidationResponse } from '@modelcontextprotocol/server'

import { createServer as createLegacy } from './legacy.mjs'
import { createServer as createModern } from './modern.mjs'

const publish = { tools: () => modern.notify.toolsChanged(), prompts: () => modern.notify.promptsChanged() }
const modern = createMcpHandler(() => createModern((list) => publish[list]()), { legacy: 'reject' })
const sessions = new Map()

createHttpServer((request, response) => {
  serve(request, response).catch((error) => {
    process.stderr.write(`${error.stack}\n`)
    response.destroy()
  })
}).listen(Number(process.env.PORT), 'localhost')

async function serve (request, response) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  const asked = () => new Request(`http://${request.headers.host ?? 'localhost'}${request.url}`, { method: request.method, headers: headersOf(request), ...(body.length === 0 ? {} : { body }) })
  const foreign = hostHeaderValidationResponse(asked(), localhostAllowedHostnames()) ?? originValidationResponse(asked(), localhostAllowedOrigins())
  if (foreign !== undefined) return await send(foreign, response)
  if (!await isLegacyRequest(asked())) return await send(await modern.fetch(asked()), response)
  await serveSession(request, response, body.length === 0 ? undefined : JSON.parse(body))
}

async function serveSession (request, response, body) {
  const id = request.headers['mcp-session-id']
  const known = sessions.get(id)
  if (known !== undefined) return await known.handleRequest(request, response, body)
  if (id !== undefined) return response.writeHead(404, { 'content-type': 'application/json' }).end('{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}')
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: 100,
    onsessioninitialized: (started) => { sessions.set(started, transport) },
    onsessionclosed: (ended) => { sessions.delete(ended) },
  })
  await createLegacy().connect(transport)
  await transport.handleRequest(request, response, body)
}

/** Keeps what was sent, so that a stream can be taken up again. */
class Events {
  #kept = []

  async storeEvent (stream, message) {
    return `${stream}_${this.#kept.push({ stream, message })}`
  }

  async getStreamIdForEventId (id) {
    return id.slice(0, id.lastIndexOf('_'))
  }

  async replayEventsAfter (last, { send: replay }) {
    const stream = await this.getStreamIdForEventId(last)
    const from = Number(last.slice(last.lastIndexOf('_') + 1))
    for (const [at, kept] of this.#kept.entries()) if (at >= from && kept.stream === stream && kept.message.jsonrpc !== undefined) await replay(`${stream}_${at + 1}`, kept.message)
    return stream
  }
}

function headersOf (request) {
  return Object.entries(request.headers).map(([name, value]) => [name, String(value)])
}

async function send (answer, response) {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  response.flushHeaders()
  if (answer.body === null) return response.end()
  const stream = Readable.fromWeb(answer.body)
  response.once('close', () => stream.destroy())
  stream.on('error', () => response.destroy())
  stream.pipe(response)
}
