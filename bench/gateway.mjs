// Portcullis as its users run it: `portcullis serve` in a directory with an upstreams.yaml, everything on.
import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { sql } from 'kysely'
import pg from 'pg'

import { freePort, launch } from './launch.mjs'

export const program = fileURLToPath(new URL('../dist/src/cli.js', import.meta.url))

const bench = fileURLToPath(new URL('.', import.meta.url)).replace(/\/$/, '')
export const password = 'only-for-this-benchmark-7c1f'
const withoutLedger = new URL('./ledger/without-ledger.mjs', import.meta.url).href
const requestMs = 10_000
const userMs = 30_000

/**
 * Starts a gateway with this audit durability in front of the stdio server `upstream` (argv), or of several by name, and
 * logs in; addUser(name) gives the token of a further user.
 * Its stop(calls) also counts what the ledger holds, and says { calls, intents, outcomes }.
 * Records go to `databaseUrl`, to a database of its own on the server at TEST_DATABASE_URL, or else to the embedded Postgres; `audit` is what else its
 * configuration says of them. `recorded: false` takes the ledger out of it, which no configuration can: stop then says nothing.
 */
export async function startGateway (durability, upstream, { audit = {}, databaseUrl, recorded = true } = {}) {
  const cwd = await mkdtemp(join(tmpdir(), `portcullis-bench-${durability}-`))
  const database = databaseUrl === undefined ? await openDatabase(recorded ? durability : 'off') : { url: databaseUrl, drop: async () => {} }
  const discard = async () => { await database.drop(); await rm(cwd, { recursive: true, force: true }) }
  try {
    const { origin, pid, stop, env } = await serve(cwd, { upstream, database, recorded, audit: { durability, ...audit } })
    const token = await login(origin)
    const addUser = async (name) => await createUser(name, { cwd, env }).then(() => login(origin, name))
    return { url: `${origin}/mcp/echo`, token, pid, addUser, database: database.name, databaseUrl: database.url, data: join(cwd, 'data'), stop: async (calls) => await settleUp({ calls, stop, data: join(cwd, 'data'), database, recorded }).finally(discard) }
  } catch (error) {
    await discard()
    throw error
  }
}

async function serve (cwd, { upstream, database, recorded, audit }) {
  await writeFile(join(cwd, 'upstreams.yaml'), configuration(audit, upstream))
  await mkdir(join(cwd, 'data'), { mode: 0o700 })
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    HOME: process.env.HOME,
    PORT: String(port),
    METRICS_PORT: String(await freePort()),
    PORTCULLIS_DATA: join(cwd, 'data'),
    PORTCULLIS_ADMIN_PASSWORD: password,
    LOG_LEVEL: 'warn',
    ...(database.url === undefined ? {} : { DATABASE_URL: database.url }),
    ...(recorded ? {} : { NODE_OPTIONS: `--import=${withoutLedger}` }), // and not on a command line: Node's flags are those of the program
  }
  const isReady = async () => (await ask(`${origin}/readyz`)).ok
  return { origin, env, ...await launch([program, 'serve'], { cwd, env, isReady }) }
}

/** Nothing is switched off: what is not said here is as it ships. */
function configuration (audit, upstream) {
  const upstreams = Array.isArray(upstream) ? { echo: upstream } : upstream
  return `upstreams:
${Object.entries(upstreams).map(([name, command]) => `  ${name}: { command: ${JSON.stringify(command)}, sandbox: { read: [${JSON.stringify(bench)}] } }`).join('\n')}
roles:
  admin: { allow: ["*/*"] }
limits:
  - { calls: 100000000, per: hour, by: [user, tool] }
audit: ${JSON.stringify(audit)}
`
}

async function createUser (name, { cwd, env }) {
  const child = spawn(process.execPath, [program, 'user', 'add', name, '--role', 'admin', '--password-stdin'], { cwd, env, stdio: ['pipe', 'ignore', 'pipe'], timeout: userMs, killSignal: 'SIGKILL' })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => { said = (said + text).slice(-500) })
  child.stdin.end(`${password}\n`)
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  if (code !== 0) throw new Error(`portcullis user add ${name}: ${said}`)
}

async function login (origin, username = 'admin') {
  const response = await ask(`${origin}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  })
  if (!response.ok) throw new Error(`login: HTTP ${response.status}: ${await response.text()}`)
  return (await response.json()).access_token
}

async function ask (url, options) {
  return await fetch(url, { ...options, signal: AbortSignal.timeout(requestMs) })
}

/** Stops the gateway as an operator does; what it recorded must be in the database by then. */
async function settleUp ({ calls, stop, data, database, recorded }) {
  const { code, signal } = await stop()
  if (code !== 0) throw new Error(`the gateway ended with ${code ?? signal} when it was asked to stop`)
  return recorded ? { calls, ...await countRecords(data, database.url) } : undefined
}

/**
 * What the ledger holds of calls: { intents, outcomes }, each call has one of both. Counted after the gateway's end; the
 * embedded Postgres is started once more for it.
 */
async function countRecords (data, url) {
  const { openDatabase: open } = await import('../dist/db/connect.js')
  const { db, close } = await open({ url, data, migrate: false })
  try {
    const { rows } = await sql`SELECT count(*)::int AS intents, count(known.record)::int AS outcomes
      FROM ledger.event call LEFT JOIN ledger.event known ON known.record = call.record AND known.kind = 'outcome' AND known.outcome = 'ok'
      WHERE call.kind = 'call' AND call.method = 'tools/call'`.execute(db)
    return rows[0]
  } finally {
    await close()
  }
}

/** A database of its own where a server is given: { url, name, drop () }; nothing to do for the embedded one. */
async function openDatabase (durability) {
  const server = process.env.TEST_DATABASE_URL
  if (server === undefined) return { url: undefined, name: undefined, drop: async () => {} }
  const name = `portcullis_bench_${durability}_${process.pid}`
  const url = new URL(server)
  url.pathname = `/${name}`
  await execute(server, `CREATE DATABASE ${name}`)
  return { url: url.href, name, drop: async () => await execute(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) }
}

async function execute (server, statement) {
  const client = new pg.Client({ connectionString: server })
  await client.connect()
  await client.query(statement).finally(() => client.end())
}
