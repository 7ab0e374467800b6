// What it takes to keep people connected who say nothing: sessions with their GET stream, and listens of 2026-07-28.
import net from 'node:net'

import { Connection } from './connection.mjs'
import { speak } from './dialect.mjs'
import { memory, sample } from './processes.mjs'

const atOnce = 20
const openMs = 20_000
const settleMs = 2_000
const version = '2026-07-28'
const listen = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'subscriptions/listen',
  params: { notifications: { toolsListChanged: true }, _meta: { 'io.modelcontextprotocol/protocolVersion': version, 'io.modelcontextprotocol/clientCapabilities': {} } },
})

/** How one stream of each kind is asked for, and the first bytes that say it is open. */
export const kinds = {
  sessions: {
    request: async (url, token) => {
      const dialect = speak({ era: 'legacy', url, token })
      const connection = new Connection(url)
      const { session } = await connection.ask(dialect.initialize()).finally(() => connection.close())
      return `GET ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\naccept: text/event-stream\r\nauthorization: Bearer ${token}\r\nmcp-session-id: ${session}\r\n\r\n`
    },
    open: (said) => said.startsWith('HTTP/1.1 200'),
  },
  listens: {
    request: async (url, token) => `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\naccept: application/json, text/event-stream\r\ncontent-type: application/json\r\nauthorization: Bearer ${token}\r\nmcp-protocol-version: ${version}\r\nmcp-method: subscriptions/listen\r\ncontent-length: ${Buffer.byteLength(listen)}\r\n\r\n${listen}`,
    open: (said) => said.includes('notifications/subscriptions/acknowledged'),
  },
}

/** Opens `each` streams for every token, measures the gateway, closes them. Gives { streams, before, during } in MiB. */
export async function measureIdle (kind, { url, pid }, tokens, each) {
  const { request, open } = kinds[kind]
  const resident = () => memory(sample({ root: pid })).gateway.rss
  const wanted = tokens.flatMap((token) => Array(each).fill(token))
  const sockets = []
  const before = resident()
  try {
    for (let at = 0; at < wanted.length; at += atOnce) {
      sockets.push(...await Promise.all(wanted.slice(at, at + atOnce).map(async (token) => await openOne(url, await request(url, token), open))))
    }
    await sleep(settleMs)
    return { streams: sockets.filter((socket) => !socket.destroyed).length, before, during: resident() }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}

async function openOne (url, request, open) {
  const socket = net.connect({ host: url.hostname, port: Number(url.port) })
  return await new Promise((resolve, reject) => {
    let said = ''
    const limit = setTimeout(() => reject(new Error(`no stream: ${said.slice(0, 300)}`)), openMs)
    socket.once('error', reject).once('connect', () => socket.write(request))
    socket.on('data', (chunk) => {
      said = (said + chunk).slice(0, 4_096)
      if (!open(said)) return
      clearTimeout(limit)
      socket.removeAllListeners('data').on('error', () => {}).resume()
      resolve(socket)
    })
  })
}

function sleep (ms) {
  return new Promise((resolve) => { setTimeout(resolve, ms) })
}
