/**
 * Tries to get out of the sandbox, through the gateway: a server that a client calls like any other tries everything it knows,
 * once confined and once not, under a gateway that is root (when this is) and under one that is an ordinary user.
 * Prints a table. Fails when anything gets out of a cell, or when so little gets out without one that the probes cannot tell.
 */
import { randomUUID } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'

import { login, serve, session } from './serving.mjs'
import { root } from './setup.mjs'

const isRoot = process.getuid() === 0
/** Whom a gateway that is root runs its cells as, and here an ordinary user. */
const nobody = 65_534
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
      found[`${upstream === 'cell' ? 'in a cell' : 'without'}, ${name}`] = await probe(gateway.url, envSecret, upstream, { ...own, gatewayPid: gateway.pid, hostname: hostname(), envSecret, tcpPort: gateway.port, abstractSocket, pathSocket })
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
  return await serve({ folder, file, data, uid, password: envSecret, flags: ['--allow-unsandboxed'] })
}

/** What a client does: log in, initialize, call the tool. */
async function probe (url, password, upstream, targets) {
  const ask = await session(url, await login(url, password), upstream)
  const { content: [{ text }] } = await ask('tools/call', { name: 'run_probe', arguments: targets })
  return JSON.parse(text)
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
