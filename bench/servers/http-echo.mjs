#!/usr/bin/env node
// What HTTP alone costs: the bytes of an echo call answered with no MCP and no upstream behind.
//   http-echo.mjs node|fastify PORT
import http from 'node:http'

import { escapedFiller } from '../payload.mjs'

const [kind, port] = process.argv.slice(2)
const listen = { host: '127.0.0.1', port: Number(port) }

if (kind === 'node') serveBare()
else if (kind === 'fastify') await serveFastify()
else throw new Error(`http-echo.mjs: "${kind}" is neither node nor fastify`)

function serveBare () {
  http.createServer((request, response) => {
    const chunks = []
    request.on('data', (chunk) => { chunks.push(chunk) })
    request.on('end', () => {
      const body = answer(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks))
      response.writeHead(200, ['content-type', 'application/json', 'content-length', String(body.length)])
      response.end(body, 'latin1')
    })
  }).listen(listen)
}

async function serveFastify () {
  const { default: fastify } = await import('fastify')
  const app = fastify()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body))
  app.post('/mcp', (request, reply) => { reply.header('content-type', 'application/json').send(answer(request.body)) })
  await app.listen(listen)
}

/** The echo result, ASCII; the call is searched for its three values and never parsed. */
function answer (body) {
  const call = body.latin1Slice()
  const id = /"id":(\d+)/.exec(call)?.[1] ?? 'null'
  const text = /"text":"([^"\\]*)"/.exec(call)?.[1]
  if (text === undefined) return `{"jsonrpc":"2.0","id":${id},"error":{"code":-32600,"message":"not an echo call"}}`
  const pad = /"pad":(\d+)/.exec(call)?.[1]
  const rest = pad === undefined ? '' : escapedFiller(Number(pad))
  return `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"${text}${rest}"}]}}`
}
