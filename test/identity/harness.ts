import { createHash, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import rateLimit from '@fastify/rate-limit'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'

import type { Database } from '../../db/connect.ts'
import { auth } from '../../plugins/auth/index.ts'
import { identity as identityPlugin } from '../../plugins/identity.ts'
import { wellKnown } from '../../plugins/well-known.ts'
import type { IdentityEvent } from '../../src/identity/audit.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { openMasterKey } from '../../src/identity/master-key.ts'
import { openSigningKeys } from '../../src/identity/signing-keys.ts'
import { testDatabase } from '../support/postgres.ts'

interface Test { teardown (work: () => unknown): unknown }

export const PUBLIC_URL = 'http://gate.example:8080'
export const AUDIENCE = `${PUBLIC_URL}/mcp`
export const PASSWORD = 'plum-harbour-quilt-97'

export interface Gate {
  readonly app: FastifyInstance
  readonly identity: Identity
  readonly events: IdentityEvent[]
  readonly database: Database
  readonly data: string
  /** `ahead` is added to the real time, or to the moment at which the clock was `stopped`. */
  readonly clock: { ahead: number, stopped: number | undefined }
}

export interface GateOptions {
  readonly database?: Database
  readonly data?: string
  readonly maxStale?: number
}

/** The identity plugins in an app of their own, on a real database, with the user admin. */
export async function openGate (t: Test, options: GateOptions = {}): Promise<Gate> {
  const database = options.database ?? await testDatabase(t)
  const data = options.data ?? scratch(t)
  const events: IdentityEvent[] = []
  const audit = (event: IdentityEvent): string => `record-${events.push(event)}`
  const clock: Gate['clock'] = { ahead: 0, stopped: undefined }
  const config = { data, identity: { providers: [], issuers: [] }, server: { publicUrl: PUBLIC_URL }, audit: { maxOutage: options.maxStale ?? 86_400_000_000 } }
  const app = Fastify()
  await app.register(rateLimit, { global: false })
  await app.register(identityPlugin, { database, config, audit, now: () => (clock.stopped ?? Date.now()) + clock.ahead })
  await app.register(wellKnown, { identity: app.identity, publicUrl: PUBLIC_URL })
  await app.register(auth, { identity: app.identity, config, audit })
  t.teardown(async () => await app.close())
  await app.identity.firstStart(PASSWORD)
  return { app, identity: app.identity, events, database, data, clock }
}

/** An empty directory, removed with the test. */
export function scratch (t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-identity-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export async function loginHeader (gate: Gate, username = 'admin', password = PASSWORD): Promise<string> {
  return `Bearer ${(await gate.identity.login(username, password, '192.0.2.1')).access_token}`
}

/** The code of the refusal that this ends in, or `ok`. */
export async function outcome (work: () => unknown): Promise<string> {
  try {
    await work()
    return 'ok'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

/** What the gate signs with, for forging tokens that differ from good ones in one thing only. */
export async function signingKey (gate: Gate): Promise<{ kid: string, privateKey: string, publicKey: string }> {
  const keys = await openSigningKeys({ db: gate.database.db, master: openMasterKey(gate.data), now: Date.now })
  const { kid, privateKey } = keys.active()
  return { kid, privateKey, publicKey: keys.publicKey(kid) ?? '' }
}

export function encode (part: unknown): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}

export function decode (token: string, part: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[part] ?? '', 'base64url').toString()) as Record<string, unknown>
}

/** An ES256 JWT of any header and payload. */
export function forge (header: object, payload: object, privateKey: string): string {
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${sign('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

export function sha256 (text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

export interface Wire {
  readonly url: string
  /** The connections there are stay open, but nothing passes through them any more; new ones work. */
  freeze (): void
  /** Connections break, and new ones are refused. */
  cut (): void
  mend (): void
}

/** A line to the database that can be frozen and cut. */
export async function wireTo (t: Test, url: string): Promise<Wire> {
  const target = new URL(url)
  const host = target.searchParams.get('host') ?? target.hostname
  const port = target.searchParams.get('port') ?? (target.port === '' ? '5432' : target.port)
  const sockets = new Set<Socket>()
  const frozen = new Set<Socket>()
  let isCut = false
  const server = createServer((near) => {
    if (isCut) return near.destroy()
    const far = host.startsWith('/') ? connect(join(host, `.s.PGSQL.${port}`)) : connect(Number(port), host)
    for (const [from, to] of [[near, far], [far, near]] as const) {
      sockets.add(from)
      from.on('data', (chunk) => { if (!frozen.has(from)) to.write(chunk) })
      from.on('error', () => {})
      from.on('close', () => { sockets.delete(from); to.destroy() })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { drop(); server.close() })
  function drop (): void { for (const socket of sockets) socket.destroy() }
  const near = new URL(url)
  near.searchParams.delete('host')
  near.searchParams.delete('port')
  near.hostname = '127.0.0.1'
  near.port = String((server.address() as AddressInfo).port)
  return {
    url: near.href,
    freeze () { for (const socket of sockets) frozen.add(socket) },
    cut () { isCut = true; drop() },
    mend () { isCut = false },
  }
}
