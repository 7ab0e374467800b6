// A gateway and a Postgres of its own, both of which can be made to fail.
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { stringify } from 'yaml'

import { program } from '../../bench/gateway.mjs'
import { freePort, launch } from '../../bench/launch.mjs'
import { descendants } from '../../bench/processes.mjs'

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
const password = 'only for this proof 93 harbours'
/** How long calls go on without the database, as the configuration says it. */
const MAX_OUTAGE = '1s'

/** Starts the database. `startGateway` starts the gateway, if it does not run. */
export async function openSite (durability) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-prove-'))
  chmodSync(folder, 0o755)
  const site = new Site(folder, durability)
  await site.startDatabase()
  return site
}

class Site {
  url
  #folder
  #env
  #gateway
  #database
  #token
  #mounted = false

  constructor (folder, durability) {
    this.#folder = folder
    const shared = join(folder, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o777) // the confined server is another user
    mkdirSync(this.spool, { recursive: true, mode: 0o700 })
    writeFileSync(join(folder, 'upstreams.yaml'), stringify({
      upstreams: { counting: { command: ['node', join(fixtures, 'upstream.mjs')], env: { CALLS: '/shared/calls' }, sandbox: { read: [fixtures], write: [`${shared}:/shared`] } } },
      roles: { admin: { allow: ['*/*'] } },
      limits: [{ calls: 100_000_000, per: 'hour', by: ['user'] }],
      audit: { durability, max_outage: MAX_OUTAGE },
    }))
  }

  get data () {
    return join(this.#folder, 'data')
  }

  get spool () {
    return join(this.data, 'ledger')
  }

  /** Marks of the calls that reached the server, in the order in which they did. */
  reached () {
    const file = join(this.#folder, 'shared', 'calls')
    return existsSync(file) ? [...readFileSync(file, 'utf8').matchAll(/"text":"([\w-]+)"/g)].map(([, mark]) => mark) : []
  }

  async startGateway () {
    if (this.#gateway !== undefined) return
    const ports = { PORT: String(await freePort()), METRICS_PORT: String(await freePort()) }
    this.#env ??= { PATH: process.env.PATH, HOME: process.env.HOME, ...ports, DATABASE_URL: this.#database.url, PORTCULLIS_DATA: this.data, PORTCULLIS_ADMIN_PASSWORD: password, LOG_LEVEL: 'error' }
    const origin = `http://127.0.0.1:${this.#env.PORT}`
    this.url = `${origin}/mcp/counting`
    const isReady = async () => (await fetch(`${origin}/readyz`, { signal: AbortSignal.timeout(5_000) })).ok
    this.#gateway = await launch([process.execPath, program, 'serve', '--config', join(this.#folder, 'upstreams.yaml')], { cwd: this.#folder, env: this.#env, isReady })
  }

  async stopGateway () {
    const ended = await this.#gateway?.stop()
    this.#gateway = undefined
    return ended ?? { code: 0 }
  }

  async killGateway () {
    process.kill(this.#gateway.pid, 'SIGKILL')
    await this.stopGateway()
  }

  /** One token for the whole time: it outlives the processes. */
  async token () {
    this.#token ??= (await (await fetch(`http://127.0.0.1:${this.#env.PORT}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: 'admin', password }) })).json()).access_token
    return this.#token
  }

  /** Records that are not in the database yet. */
  async lag () {
    const text = await (await fetch(`http://127.0.0.1:${this.#env.METRICS_PORT}/metrics`)).text()
    return Number(/^portcullis_ledger_lag_records (\d+)/m.exec(text)?.[1] ?? NaN)
  }

  /** `portcullis audit verify`, as an auditor runs it. */
  async verify () {
    const { stdout, stderr } = await run([program, 'audit', 'verify', '--json'], { cwd: this.#folder, env: { ...this.#env, PORTCULLIS_CONFIG: join(this.#folder, 'upstreams.yaml') } })
    if (stdout === '') throw new Error(`audit verify said nothing: ${stderr}`)
    return JSON.parse(stdout)
  }

  async query (text, values) {
    const client = new pg.Client({ connectionString: this.#database.url })
    await client.connect()
    try {
      return (await client.query(text, values)).rows
    } finally {
      await client.end()
    }
  }

  async startDatabase () {
    const { openEmbedded } = await import('../../dist/db/embedded.js')
    const data = join(this.#folder, 'postgres')
    mkdirSync(data, { recursive: true, mode: 0o711 })
    this.#database = await openEmbedded({ data })
  }

  async stopDatabase () {
    await this.#database.close()
  }

  /** Every process of the database stands still, connections stay open; returns how to let them go on. */
  async freezeDatabase () {
    const [{ pid }] = await this.query("select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid")
    const processes = descendants(pid)
    signal(processes, 'SIGSTOP')
    return () => signal(processes.toReversed(), 'SIGCONT')
  }

  /** Gives the spool a file system of its own, so large; says why when that is not possible. The gateway must not run while it comes and goes. */
  async mountSpool (bytes) {
    await this.stopGateway()
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', this.spool], { stdio: 'pipe' })
      this.#mounted = true
    } catch (error) {
      return `a file system cannot be mounted here: ${error.stderr?.toString().trim() || error.message}`
    }
  }

  async close () {
    await this.stopGateway()
    if (this.#mounted) execFileSync('umount', [this.spool])
    await this.#database.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function signal (processes, name) {
  for (const pid of processes) {
    try { process.kill(pid, name) } catch {} // it has ended
  }
}

function run (args, options) {
  return new Promise((resolve) => { execFile(process.execPath, args, { ...options, timeout: 120_000, maxBuffer: 1e8 }, (_error, stdout, stderr) => resolve({ stdout, stderr })) })
}
