import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync, chmodSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import type { Test } from 'tap'
import { stringify } from 'yaml'
import { openGateway } from '../../src/app.ts'
import type { Gateway } from '../../src/app.ts'
import { addUser, changeRoles, setDisabled } from '../../src/commands/user.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createLogger } from '../../src/log.ts'
import type { Database } from '../../db/connect.ts'
import { testDatabase } from './postgres.ts'
import { until } from './until.ts'

export { until } from './until.ts'

export const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
export const adminPassword = 'gravel teapot nine harbour'

export interface GatewayOptions {
  /** upstreams.yaml as an object; `upstreams.fixture` is there unless it is given. */
  readonly yaml?: Record<string, unknown>
  readonly env?: Record<string, string>
  readonly database?: Database
  /** Keep data from an earlier gateway. */
  readonly folder?: string
}

/** One attempt as the auditor sees it. */
export type Row = Record<string, unknown>

/** A running gateway with its own database and folder, and the hands a test needs. */
export interface TestGateway {
  readonly url: string
  readonly metricsUrl: string
  readonly folder: string
  readonly database: Database
  readonly gateway: Gateway
  /** Everything the gateway logged so far. */
  readonly log: () => string
  /** What reached the fixture upstream: one parsed message each. */
  readonly calls: () => { method: string, params: Record<string, unknown> }[]
  login (name?: string, password?: string): Promise<string>
  addUser (name: string, roles: string[]): Promise<string>
  disableUser (name: string): Promise<void>
  setRoles (name: string, roles: string[]): Promise<void>
  /** A connected SDK client of the session era. */
  client (path: string, token: string): Promise<Client>
  /** A raw POST of one message. */
  post (path: string, token: string | undefined, body: unknown, headers?: Record<string, string>): Promise<Response>
  /** Waits until the ledger is shipped, then reads attempts, oldest first. */
  rows (where?: Row): Promise<Row[]>
}

/** Starts a gateway on a free port; closed with the test. */
export async function startGateway (t: Test, options: GatewayOptions = {}): Promise<TestGateway> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'portcullis-gateway-'))
  if (options.folder === undefined) {
    chmodSync(folder, 0o755)
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  }
  const shared = join(folder, 'shared')
  mkdirSync(shared, { recursive: true })
  chmodSync(shared, 0o777)
  const callsFile = join(shared, 'calls')
  const file = join(folder, 'upstreams.yaml')
  writeFileSync(file, stringify({
    upstreams: { fixture: fixture({ shared }) },
    health: { probe: false }, // what reaches an upstream is what the test sends
    roles: { user: { allow: ['fixture/*'], deny: ['fixture/secret'] }, admin: { allow: ['*/*'] } },
    ...options.yaml,
  }))
  const database = options.database ?? await testDatabase(t)
  const port = await freePort()
  const lines: string[] = []
  const log = createLogger({ level: 'debug', stream: new Writable({ write: (chunk: Buffer, _encoding, done) => { lines.push(chunk.toString()); done() } }) })
  const config = loadConfig({
    PORT: String(port),
    METRICS_PORT: String(await freePort()),
    PORTCULLIS_DATA: join(folder, 'data'),
    PORTCULLIS_ADMIN_PASSWORD: adminPassword,
    DATABASE_URL: database.url,
    ...options.env,
  }, { file, allowUnsandboxed: true })
  const gateway = await openGateway(config, log)
  t.teardown(() => gateway.close(0))
  const { url } = gateway
  const commands = { database, config, audit: () => undefined, out: () => {} }

  const login = async (name = 'admin', password = adminPassword): Promise<string> => {
    const response = await fetch(`${url}/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ username: name, password }) })
    const body = await response.json() as { access_token?: string }
    if (body.access_token === undefined) throw new Error(`login failed: ${JSON.stringify(body)}`)
    return body.access_token
  }
  return {
    url,
    metricsUrl: `http://127.0.0.1:${config.metrics.port}/metrics`,
    folder,
    database,
    gateway,
    log: () => lines.join(''),
    // whole lines: the upstream may be writing the next
    calls: () => existsSync(callsFile) ? readFileSync(callsFile, 'utf8').split('\n').slice(0, -1).map((line) => JSON.parse(line) as { method: string, params: Record<string, unknown> }) : [],
    login,
    async addUser (name, roles) {
      const password = `password of ${name}, long enough`
      await addUser(commands, name, { roles, passwordStdin: true, stdin: Readable.from([`${password}\n`]) })
      return await login(name, password)
    },
    disableUser: async (name) => await setDisabled(commands, name, true),
    setRoles: async (name, roles) => await changeRoles(commands, name, { set: roles }),
    async client (path, token) {
      const client = new Client({ name: 'test-client', version: '1.0.0' })
      await client.connect(new StreamableHTTPClientTransport(new URL(url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }) as Transport)
      t.teardown(() => client.close())
      return client
    },
    post: async (path, token, body, headers = {}) => await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    }),
    async rows (where = {}) {
      await until(() => gateway.ledger.status.lagRecords === 0)
      const { rows } = await database.pool.query<Row>('select * from ledger.attempt order by time, seq')
      return rows.filter((row) => Object.entries(where).every(([name, value]) => row[name] === value))
    },
  }
}

/** The configuration of test/fixtures/upstream.mjs, which notes every message it gets in `<shared>/calls`. */
export function fixture ({ shared, ...more }: { shared: string, env?: Record<string, string>, [key: string]: unknown }): Record<string, unknown> {
  const { env, ...rest } = more
  return {
    command: ['node', join(fixtures, 'upstream.mjs')],
    env: { CALLS: '/shared/calls', ...env },
    sandbox: { write: [`${shared}:/shared`] },
    timeouts: { call: '2s' },
    ...rest,
  }
}

const given = new Set<number>()

/** A port that nobody listens on, never the same twice in one process. */
export async function freePort (): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  if (given.has(port)) return await freePort()
  given.add(port)
  return port
}
