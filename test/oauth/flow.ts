import { createHash, randomBytes } from 'node:crypto'

import { adminPassword } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import { letIn, openBrowser } from './browser.ts'
import type { Browser } from './browser.ts'

/** The steps of a client that has nothing but the address of the gateway, one at a time, so that a test can do one of them wrong. */
export interface Flow {
  readonly redirect: string
  register (metadata?: Record<string, unknown>): Promise<Response>
  clientId (metadata?: Record<string, unknown>): Promise<string>
  /** `null` leaves a parameter out. */
  authorizationUrl (clientId: string, changes?: Record<string, string | null>): string
  /** A code, after somebody logged in and allowed. */
  code (clientId: string, changes?: Record<string, string | null>, who?: { name: string, password: string }): Promise<string>
  token (parameters: Record<string, string>, headers?: Record<string, string>): Promise<Response>
  redeem (clientId: string, code: string, changes?: Record<string, string>): Promise<Response>
  refresh (clientId: string, token: string, changes?: Record<string, string>): Promise<Response>
  /** All of it. */
  tokens (clientId: string, changes?: Record<string, string | null>): Promise<Tokens>
  /** The status of a message to /mcp with this token. */
  status (token: string, path?: string): Promise<number>
}

export interface Tokens { readonly access_token: string, readonly refresh_token: string, readonly expires_in: number, readonly scope: string, readonly id_token?: string }

export const verifier = randomBytes(32).toString('base64url')

export function openFlow (gateway: TestGateway): Flow {
  const { url } = gateway
  const redirect = 'http://127.0.0.1:33418/callback'
  // Whoever has logged in once stays logged in: ten logins a minute are all that one address has.
  const browsers = new Map<string, Browser>()
  const browserOf = (name: string): Browser => {
    const known = browsers.get(name) ?? openBrowser(url)
    browsers.set(name, known)
    return known
  }
  const flow: Flow = {
    redirect,
    register: async (metadata = {}) => await fetch(`${url}/oauth/register`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ client_name: 'A client', redirect_uris: [redirect], ...metadata }) }),
    async clientId (metadata) {
      const response = await flow.register(metadata)
      const body = await response.json() as { client_id?: string }
      if (body.client_id === undefined) throw new Error(`not registered: ${JSON.stringify(body)}`)
      return body.client_id
    },
    authorizationUrl (clientId, changes = {}) {
      const query = new URLSearchParams({
        client_id: clientId,
        response_type: 'code',
        redirect_uri: redirect,
        scope: 'mcp',
        state: 'st',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        resource: `${url}/mcp`,
      })
      for (const [name, value] of Object.entries(changes)) {
        if (value === null) query.delete(name)
        else query.set(name, value)
      }
      return `${url}/oauth/authorize?${query.toString()}`
    },
    async code (clientId, changes, who = { name: 'admin', password: adminPassword }) {
      const back = await letIn(browserOf(who.name), flow.authorizationUrl(clientId, changes), who.name, who.password)
      const code = back.searchParams.get('code')
      if (code === null) throw new Error(`no code: ${back.href}`)
      return code
    },
    token: async (parameters, headers = {}) => await fetch(`${url}/oauth/token`, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: new URLSearchParams(parameters).toString() }),
    redeem: async (clientId, code, changes) => await flow.token({ grant_type: 'authorization_code', client_id: clientId, code, redirect_uri: redirect, code_verifier: verifier, ...changes }),
    refresh: async (clientId, token, changes) => await flow.token({ grant_type: 'refresh_token', client_id: clientId, refresh_token: token, ...changes }),
    async tokens (clientId, changes) {
      const response = await flow.redeem(clientId, await flow.code(clientId, changes))
      if (response.status !== 200) throw new Error(`no tokens: ${await response.text()}`)
      return await response.json() as Tokens
    },
    async status (token, path = '/mcp') {
      const response = await gateway.post(path, token, { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'x', version: '1' } } })
      await response.body?.cancel()
      return response.status
    },
  }
  return flow
}

/** The error of an OAuth answer. */
export async function errorOf (response: Response): Promise<string> {
  return `${response.status} ${(await response.json() as { error?: string }).error ?? 'no error'}`
}
