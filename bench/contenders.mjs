// Who is compared. A contender says how it is started, and which eras it speaks (`echo`: none, but the same bytes).
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { startGateway } from './gateway.mjs'
import { freePort, launch } from './launch.mjs'
import { peerProgram } from './peers.mjs'

const server = (name) => fileURLToPath(new URL(`./servers/${name}`, import.meta.url))
const upstream = [process.execPath, server('stdio-echo.mjs')]

/** The contender that ratios are taken of. */
export const base = 'node-http'

export const contenders = [
  { name: 'node-http', title: 'bare node:http echo', eras: ['echo'], start: http((port) => [server('http-echo.mjs'), 'node', port]) },
  { name: 'fastify', title: 'Fastify echo', eras: ['echo'], start: http((port) => [server('http-echo.mjs'), 'fastify', port]) },
  { name: 'portcullis-os', title: 'Portcullis, durability os', eras: ['legacy', 'modern'], start: () => startGateway('os', upstream) },
  { name: 'portcullis-fsync', title: 'Portcullis, durability fsync', eras: ['legacy', 'modern'], start: () => startGateway('fsync', upstream) },
  { name: 'sdk', title: 'MCP SDK server, no gateway', eras: ['legacy'], start: http((port) => [server('http-sdk.mjs'), port]) },
  { name: 'mcp-proxy', title: 'mcp-proxy', eras: ['legacy'], start: http(mcpProxy) },
  { name: 'supergateway', title: 'supergateway, stateful', eras: ['legacy'], start: http(supergateway) },
]

async function mcpProxy (port, say) {
  return [await peerProgram('mcp-proxy', say), '--host', '127.0.0.1', '--port', port, '--server', 'stream', '--', ...upstream]
}

async function supergateway (port, say) {
  return [await peerProgram('supergateway', say), '--stdio', upstream.join(' '), '--outputTransport', 'streamableHttp', '--stateful', '--port', port, '--logLevel', 'none']
}

/** Starts a Node program that serves /mcp on the port it is told. */
function http (programAndArguments) {
  return async (say) => {
    const port = String(await freePort())
    const args = await programAndArguments(port, say)
    const cwd = await mkdtemp(join(tmpdir(), 'portcullis-bench-'))
    const url = `http://127.0.0.1:${port}/mcp`
    const { pid, stop } = await launch([process.execPath, ...args], { cwd, env: { PATH: process.env.PATH }, isReady: () => answers(url) })
    return { url, pid, stop: async () => { await stop(); await rm(cwd, { recursive: true, force: true }) } }
  }
}

/** Any HTTP answer will do: what the server makes of the calls, the load generator finds out. */
async function answers (url) {
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}', signal: AbortSignal.timeout(2_000) })
  await response.arrayBuffer()
  return true
}
