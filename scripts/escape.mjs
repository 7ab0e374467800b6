/**
 * Tries to get out of the sandbox, through the gateway: a server that a client calls like any other tries everything it knows,
 * once confined and once not, under a gateway that is root (when this is) and under one that is an ordinary user.
 * Prints a table. Fails when anything gets out of a cell, or when so little gets out without one that the probes cannot tell.
 */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { root } from './setup.mjs'

const isRoot = process.getuid() === 0
/** Whom a gateway that is root runs its cells as, and here an ordinary user. */
const nobody = 65_534
const patienceMs = 120_000
const leastWithout = 25

const runs = isRoot ? [{ name: 'root', uid: 0 }, { name: 'user', uid: nobody }] : [{ name: 'user', uid: process.getuid() }]
const columns = {}
for (const run of runs) Object.assign(columns, await attempt(run))
process.exitCode = report(columns) ? 0 : 1

async function attempt ({ name, uid }) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-escape-'))
  const closers = [() => rmSync(folder, { recursive: true, force: true })]
  try {
    chmodSync(folder, 0o755)
    const baits = { cell: bait(folder, 'cell', uid === 0 ? nobody : uid), bare: bait(folder, 'bare', uid) }
    const envSecret = `secret-${randomUUID()}`
    const abstractSocket = `portcullis-escape-${randomUUID()}`
    const pathSocket = join(tmpdir(), `${abstractSocket}.sock`)
    for (const where of [`\0${abstractSocket}`, pathSocket]) closers.push(await listen(where))
    chmodSync(pathSocket, 0o777)
    const gateway = await start(folder, uid, baits, envSecret)
    closers.push(gateway.stop)
    const found = {}
    for (const [upstream, own] of Object.entries(baits)) {
      found[`${upstream === 'cell' ? 'in a cell' : 'without'}, ${name}`] = await gateway.probe(upstream, { ...own, gatewayPid: gateway.pid, hostname: hostname(), envSecret, tcpPort: gateway.port, abstractSocket, pathSocket })
    }
    return found
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

/** Things of the host worth reaching for; readable for all, so that only the sandbox protects them. */
function bait (folder, upstream, uid) {
  const place = join(folder, upstream)
  const made = Object.fromEntries(['', 'outside', 'grant', 'read-only', 'keys'].map((part) => {
    const path = join(place, part)
    mkdirSync(path)
    own(path, uid)
    return [part, path]
  }))
  const [secretFile, privateKey] = [join(place, 'secret.env'), join(place, 'keys/id_ed25519')]
  for (const file of [secretFile, privateKey]) {
    writeFileSync(file, 'secret')
    own(file, uid)
  }
  const isCell = upstream === 'cell'
  return { secretFile, privateKey, outside: made.outside, grant: isCell ? '/data' : made.grant, readOnlyGrant: isCell ? '/reference' : made['read-only'] }
}

async function start (folder, uid, baits, envSecret) {
  const [port, metrics] = [await freePort(), await freePort()]
  const command = ['node', join(root, 'test/fixtures/probe.mjs')]
  const upstream = (sandbox) => ({ command, timeouts: { call: '5m' }, sandbox })
  const file = join(folder, 'upstreams.yaml')
  const cell = join(folder, 'cell')
  writeFileSync(file, JSON.stringify({
    upstreams: { cell: upstream({ write: [`${join(cell, 'grant')}:/data`], read: [`${join(cell, 'read-only')}:/reference`] }), bare: upstream('none') },
  }))
  const data = join(folder, 'data')
  mkdirSync(data)
  own(data, uid)
  const env = { PATH: process.env.PATH, HOME: data, PORT: `${port}`, METRICS_PORT: `${metrics}`, PORTCULLIS_DATA: data, PORTCULLIS_ADMIN_PASSWORD: envSecret, LOG_LEVEL: 'error' }
  const gateway = spawn(process.execPath, [join(root, 'dist/src/cli.js'), 'serve', '--config', file, '--allow-unsandboxed'], { cwd: folder, env, uid, gid: uid, stdio: ['ignore', 'pipe', 'pipe'] })
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
  return { pid: gateway.pid, port, stop, probe: (name, targets) => probe(url, envSecret, name, targets) }
}

/** What a client does: log in, initialize, call the tool. */
async function probe (url, password, upstream, targets) {
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }
  const { access_token: token } = await (await post(`${url}/auth/login`, headers, { username: 'admin', password })).json()
  headers.authorization = `Bearer ${token}`
  const opened = await post(`${url}/mcp/${upstream}`, headers, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'escape', version: '1' } } })
  headers['mcp-session-id'] = opened.headers.get('mcp-session-id') ?? ''
  const answer = await post(`${url}/mcp/${upstream}`, headers, { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'run_probe', arguments: targets } })
  const text = await answer.text()
  const { result } = JSON.parse(text.startsWith('{') ? text : text.slice(text.lastIndexOf('data: ') + 6))
  if (result === undefined || result.isError === true) throw new Error(`The probe of "${upstream}" could not be run: ${text}`)
  return JSON.parse(result.content[0].text)
}

async function post (url, headers, body) {
  return await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })
}

/** True when nothing got out of a cell, and enough without one. */
function report (columns) {
  const names = Object.keys(columns)
  const probes = [...new Set(Object.values(columns).flatMap(Object.keys))]
  const cell = (column, probe) => columns[column][probe]?.startsWith('ESCAPED') ? 'OUT' : columns[column][probe] === undefined ? '?' : 'held'
  const width = Math.max(...probes.map(({ length }) => length))
  const line = (first, rest) => console.log(`${first.padEnd(width)}  ${rest.map((text) => text.padEnd(16)).join('')}`)
  line('', names)
  for (const probe of probes) line(probe, names.map((column) => cell(column, probe)))
  const count = (column, verdict) => probes.filter((probe) => cell(column, probe) === verdict).length
  line(`got out, of ${probes.length}`, names.map((column) => `${count(column, 'OUT')}`))
  // what could not be tried in a cell was not held by it
  return probes.length > 60 && names.every((column) => column.startsWith('in a cell') ? count(column, 'held') === probes.length : count(column, 'OUT') >= leastWithout)
}

function own (path, uid) {
  if (isRoot) chownSync(path, uid, uid)
}

async function listen (where) {
  const server = createServer((socket) => socket.end())
  await new Promise((resolve) => server.listen(where, resolve))
  return () => new Promise((resolve) => server.close(resolve))
}

async function freePort () {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}
