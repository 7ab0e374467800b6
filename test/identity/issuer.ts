import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { CryptoKey, JWK } from 'jose'
import type { Test } from 'tap'

import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

/** A company's issuer of tokens: a real HTTP server with its public keys, and the private ones to sign with. */
export interface TestIssuer {
  readonly issuer: string
  readonly jwks: string
  /** How often its keys were asked for. */
  fetches: number
  /** What it answers: its keys, an error, something that is no set of keys, or nothing at all. */
  mode: 'keys' | 'error' | 'nonsense' | 'silence'
  /** Makes a key and publishes it. */
  addKey (kid: string, alg?: string): Promise<void>
  removeKey (kid: string): void
  publicJwk (kid: string): JWK
  privateKey (kid: string): CryptoKey
  /** A token of Ann's, good for an hour, with changes; undefined leaves a claim out. */
  token (changes?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>
}

export const AUDIENCE = 'api://tools'

export async function startIssuer (t: Test, alg = 'RS256'): Promise<TestIssuer> {
  const keys = new Map<string, { alg: string, privateKey: CryptoKey, jwk: JWK }>()
  const published = new Map<string, JWK>()
  const server = createServer((_request, response) => {
    self.fetches += 1
    if (self.mode === 'keys') response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [...published.values()] }))
    if (self.mode === 'error') response.writeHead(500).end('down')
    if (self.mode === 'nonsense') response.end('<html>maintenance</html>')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const keyOf = (kid: string): { alg: string, privateKey: CryptoKey, jwk: JWK } => {
    const key = keys.get(kid)
    if (key === undefined) throw new Error(`no key ${kid}`)
    return key
  }
  const self: TestIssuer = {
    issuer,
    jwks: `${issuer}/keys`,
    fetches: 0,
    mode: 'keys',
    async addKey (kid, keyAlg = alg) {
      const { publicKey, privateKey } = await generateKeyPair(keyAlg, { extractable: true })
      const jwk = { ...await exportJWK(publicKey), kid, alg: keyAlg, use: 'sig' }
      keys.set(kid, { alg: keyAlg, privateKey, jwk })
      published.set(kid, jwk)
    },
    removeKey: (kid) => { published.delete(kid) },
    publicJwk: (kid) => keyOf(kid).jwk,
    privateKey: (kid) => keyOf(kid).privateKey,
    async token (changes = {}, header = {}) {
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss: issuer, aud: AUDIENCE, sub: 'ann-1', exp: now + 3600, iat: now, groups: ['tool-users'], preferred_username: 'ann', azp: 'assistant', ...changes }
      const kid = typeof header['kid'] === 'string' && keys.has(header['kid']) ? header['kid'] : 'k1'
      const { alg: keyAlg, privateKey } = keyOf(kid)
      return await new SignJWT(claims).setProtectedHeader({ alg: keyAlg, typ: 'at+jwt', kid, ...header }).sign(privateKey)
    },
  }
  await self.addKey('k1')
  return self
}

const CALL = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { text: 'hello' }, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' }, 'io.modelcontextprotocol/clientCapabilities': {} } } }
const HEADERS = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'echo' }

/** A gateway that takes the tokens of an issuer, and what a caller sees of it. */
export interface Company {
  readonly gateway: TestGateway
  readonly issuer: TestIssuer
  /** Status and error code of a call with this token. */
  call (token: string): Promise<string>
  /** How many calls the upstream has seen. */
  seen (): number
  /** Asserts that a call with this token is answered with this, and that the upstream was not contacted. */
  refused (t: Test, token: string, answer: string, name: string): Promise<void>
}

/** A gateway that takes the tokens of an issuer, and remembers none yet. */
export async function openCompany (t: Test, { issuer: given, entries, require }: { issuer?: TestIssuer, entries?: Record<string, unknown>, require?: Record<string, string> } = {}): Promise<Company> {
  const issuer = given ?? await startIssuer(t)
  const gateway = await startGateway(t, {
    yaml: { identity: { issuers: entries ?? { acme: { issuer: issuer.issuer, jwks: issuer.jwks, audience: AUDIENCE, ...(require !== undefined && { require }), name: 'preferred_username', roles: { 'tool-users': 'user', 'tool-admins': 'admin' } } } } },
  })
  const seen = (): number => gateway.calls().filter(({ method }) => method === 'tools/call').length
  const call = async (token: string): Promise<string> => {
    const response = await gateway.post('/mcp/fixture', token, CALL, HEADERS)
    const { error } = await response.json() as { error?: { data: { code: string } } }
    return error === undefined ? String(response.status) : `${response.status} ${error.data.code}`
  }
  return {
    gateway,
    issuer,
    call,
    seen,
    async refused (t, token, answer, name) {
      const before = seen()
      t.equal(await call(token), answer, name)
      t.equal(seen(), before, `${name}: the upstream was not contacted`)
    },
  }
}

export const INVALID = '401 PORTCULLIS_INVALID_TOKEN'
export const DOWN = '503 PORTCULLIS_ISSUER_UNAVAILABLE'
