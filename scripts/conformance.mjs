/**
 * `npm run conformance`: the official suite through the gateway, authentication on, next to the same without a gateway.
 * `-- --json` prints JSON, `-- --only "legacy 2025-11-25"` runs one cell. Exit code 1 when something that passes directly fails through the gateway,
 * or when an entry of test/conformance/expected-failures.json has become untrue.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

import { freePort, launch } from '../bench/launch.mjs'
import { countOf, judge, staleOf } from '../test/conformance/judge.mjs'
import { bringSuite, runScenarios } from '../test/conformance/suite.mjs'
import { root, setup } from './setup.mjs'

const upstreams = ['legacy', 'modern', 'dual']
const versions = ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28']
const fixtures = join(root, 'test/conformance')
const password = 'only for this conformance run 41'

const { values: options } = parseArgs({ options: { json: { type: 'boolean', default: false }, only: { type: 'string' } } })
const cells = upstreams.flatMap((upstream) => versions.map((version) => `${upstream} ${version}`)).filter((cell) => options.only === undefined || cell === options.only)
if (cells.length === 0) throw new Error(`there is no such cell: ${options.only}`)

setup()
const suite = await bringSuite()
const expectations = JSON.parse(readFileSync(join(fixtures, 'expected-failures.json'), 'utf8'))
const direct = await withFixture(async (url) => await eachOf(versions.filter((version) => cells.some((cell) => cell.endsWith(version))), async (version) => await runScenarios(suite, { url, version })))
const through = await withGateway(async (url, token) => await eachOf(cells, async (cell) => {
  const [upstream, version] = cell.split(' ')
  return await runScenarios(suite, { url: `${url}/mcp/${upstream}`, version, token })
}))

const rows = cells.map((cell) => {
  const [upstream, version] = cell.split(' ')
  const alone = direct.get(version)
  return { upstream, version, direct: countOf(alone), through: countOf(through.get(cell)), ...judge(cell, alone, through.get(cell), expectations) }
})
const stale = staleOf(cells, rows.flatMap(({ expected }) => expected), expectations)
const regressions = rows.flatMap((row) => row.regressions.map((check) => ({ check, why: through.get(`${row.upstream} ${row.version}`).get(check.split(' ')[2])?.why })))
const good = regressions.length === 0 && stale.length === 0

if (options.json) console.log(JSON.stringify({ good, cells: rows, regressions, stale }, undefined, 2))
else print()
process.exitCode = good ? 0 : 1

function print () {
  console.log('| upstream | client | direct: passed/failed | through the gateway: passed/failed | expected |\n|---|---|---|---|---|')
  for (const { upstream, version, direct: alone, through: passed, expected } of rows) console.log(`| ${upstream} | ${version} | ${alone.passed}/${alone.failed} | ${passed.passed}/${passed.failed} | ${expected.length} |`)
  for (const { check, why } of regressions) console.log(`REGRESSION ${check}: ${why ?? 'was not run'}`)
  for (const name of stale) console.log(`STALE ${name}: passes now; take it out of test/conformance/expected-failures.json`)
}

/** Two at a time: each run waits a lot. */
async function eachOf (keys, work) {
  const found = new Map()
  const waiting = [...keys]
  await Promise.all([0, 1].map(async () => {
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) found.set(key, await work(key))
  }))
  return found
}

async function withFixture (work) {
  const url = `http://localhost:${await freePort()}/mcp`
  const isReady = async () => await fetch(url).then(() => true)
  const { stop } = await launch([process.execPath, join(fixtures, 'http.mjs')], { cwd: root, env: { ...process.env, PORT: new URL(url).port }, isReady })
  return await work(url).finally(stop)
}

/** The gateway as its users run it, in a directory of its own. */
async function withGateway (work) {
  const cwd = mkdtempSync(join(tmpdir(), 'portcullis-conformance-'))
  chmodSync(cwd, 0o755)
  mkdirSync(join(cwd, 'data'), { mode: 0o700 })
  writeFileSync(join(cwd, 'upstreams.yaml'), configuration())
  const port = await freePort()
  const url = `http://localhost:${port}`
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, PORT: String(port), PUBLIC_URL: url, METRICS_PORT: String(await freePort()), PORTCULLIS_DATA: join(cwd, 'data'), PORTCULLIS_ADMIN_PASSWORD: password, LOG_LEVEL: 'warn' }
  const isReady = async () => (await fetch(`${url}/readyz`)).ok
  const { stop } = await launch([process.execPath, join(root, 'dist/src/cli.js'), 'serve'], { cwd, env, isReady })
  try {
    return await work(url, await login(url))
  } finally {
    await stop()
    rmSync(cwd, { recursive: true, force: true })
  }
}

function configuration () {
  const read = JSON.stringify([fixtures, join(root, 'node_modules')])
  const upstream = (file, env) => `{ command: ${JSON.stringify(['node', join(fixtures, file)])}, env: ${JSON.stringify(env)}, asks: [elicitation, sampling, roots], sandbox: { read: ${read} } }`
  return `upstreams:
  legacy: ${upstream('legacy.mjs', {})}
  modern: ${upstream('modern.mjs', {})}
  dual: ${upstream('modern.mjs', { DUAL: '1' })}
roles: { admin: { allow: ["*/*"] } }
limits: [{ calls: 100000, per: hour, by: [user, tool] }]
`
}

async function login (url) {
  const response = await fetch(`${url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password }) })
  if (!response.ok) throw new Error(`login: HTTP ${response.status}: ${await response.text()}`)
  return (await response.json()).access_token
}
