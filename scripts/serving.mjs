/** A gateway of its own for a script, in a process of its own, and what a client says to it. */
import { spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { root } from './setup.mjs'

const patienceMs = 120_000

/**
 * Starts `portcullis serve` on free ports and waits until it is ready.
 * @param options.uid whom it runs as; `options.password` is the administrator's
 */
export async function serve ({ folder, file, data, password, uid = process.getuid(), flags = [] }) {
  const [port, metrics] = [await freePort(), await freePort()]
  const env = { PATH: process.env.PATH, HOME: data, PORT: `${port}`, METRICS_PORT: `${metrics}`, PORTCULLIS_DATA: data, PORTCULLIS_ADMIN_PASSWORD: password, LOG_LEVEL: 'warn' }
  const gateway = spawn(process.execPath, [join(root, 'dist/src/cli.js'), 'serve', '--config', file, ...flags], { cwd: folder, env, uid, gid: uid, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [gateway.stdout, gateway.stderr]) stream.on('data', (chunk) => { said += chunk })
  const ended = new Promise((resolve) => gateway.once('exit', resolve))
  const stop = async () => {
    gateway.kill('SIGTERM')
    await ended
  }
  const url = `http://127.0.0.1:${port}`
  for (let waited = 0; !await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false); waited += 200) {
    if (waited > patienceMs || gateway.exitCode !== null) {
      await stop()
      throw new Error(`The gateway did not become ready:\n${said}`)
    }
    await sleep(200)
  }
  return { url, port, pid: gateway.pid, stop, said: () => said }
}

/** An access token of the administrator. */
export async function login (url, password) {
  const answer = await post(`${url}/auth/login`, { 'content-type': 'application/json' }, { username: 'admin', password })
  return (await answer.json()).access_token
}

/** A session with one upstream: resolves to a function that asks one thing and gives the result back. */
export async function session (url, token, upstream) {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization: `Bearer ${token}` }
  const opened = await post(`${url}/mcp/${upstream}`, headers, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'script', version: '1' } } })
  headers['mcp-session-id'] = opened.headers.get('mcp-session-id') ?? ''
  return async (method, params) => {
    const text = await (await post(`${url}/mcp/${upstream}`, headers, { jsonrpc: '2.0', id: 2, method, params })).text()
    const { result } = JSON.parse(text.startsWith('{') ? text : text.slice(text.lastIndexOf('data: ') + 6))
    if (result === undefined || result.isError === true) throw new Error(`${method} of "${upstream}" failed: ${text}`)
    return result
  }
}

async function post (url, headers, body) {
  return await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

export async function freePort () {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
