import { Client as ModernClient, SSEClientTransport as ModernSse, StreamableHTTPClientTransport as ModernHttp } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { Client as OldClient } from 'sdk-1-10/client/index.js'
import { SSEClientTransport as OldSse } from 'sdk-1-10/client/sse.js'
import { StreamableHTTPClientTransport as OldHttp } from 'sdk-1-10/client/streamableHttp.js'
import type { Transport as OldTransport } from 'sdk-1-10/shared/transport.js'
import { inspect } from './inspector.ts'

/** How a message travels: Streamable HTTP, or HTTP+SSE of 2024-11-05. */
export type Way = 'http' | 'sse'

/** An open connection of a client: the two things every one of them can do. */
export interface Connection {
  /** Names of tools. */
  list (): Promise<string[]>
  /** What the tool said, as text. */
  call (tool: string, args: Record<string, unknown>): Promise<string>
  close (): Promise<void>
}

export interface RealClient {
  readonly name: string
  /** How it calls itself in the ledger. */
  readonly known: RegExp
  /** The revision it ends up with, by the way it takes; a way that is missing it does not know. */
  readonly speaks: Readonly<Partial<Record<Way, string>>>
  connect (url: URL, token: string, way: Way): Promise<Connection>
}

/** The clients that npm installs with the project. */
export const libraries: readonly RealClient[] = [
  {
    name: 'SDK v1.10',
    known: /^sdk-v1-10\//,
    speaks: { http: '2024-11-05', sse: '2024-11-05' },
    connect: async (url, token, way) => {
      const client = new OldClient({ name: 'sdk-v1-10', version: '1' }, { capabilities: {} })
      const options = { requestInit: bearer(token) }
      await client.connect((way === 'http' ? new OldHttp(url, options) : new OldSse(url, { ...options, eventSourceInit: source(token) })) as OldTransport)
      return connection(client)
    },
  },
  {
    name: 'SDK v1.32',
    known: /^sdk-v1\//,
    speaks: { http: '2025-11-25', sse: '2025-11-25' },
    connect: async (url, token, way) => {
      const client = new Client({ name: 'sdk-v1', version: '1' })
      const options = { requestInit: bearer(token) }
      await client.connect((way === 'http' ? new StreamableHTTPClientTransport(url, options) : new SSEClientTransport(url, { ...options, eventSourceInit: source(token) })) as Transport)
      return connection(client)
    },
  },
  {
    name: 'SDK v2',
    known: /^sdk-v2\//,
    speaks: { http: '2025-11-25', sse: '2025-11-25' },
    connect: async (url, token, way) => {
      const client = new ModernClient({ name: 'sdk-v2', version: '2' })
      const options = { requestInit: bearer(token) }
      await client.connect(way === 'http' ? new ModernHttp(url, options) : new ModernSse(url, options))
      return connection(client)
    },
  },
  {
    name: 'SDK v2, new era',
    known: /^sdk-v2-new\//,
    speaks: { http: '2026-07-28' },
    connect: async (url, token) => {
      const client = new ModernClient({ name: 'sdk-v2-new', version: '2' }, { versionNegotiation: { mode: 'auto' } })
      await client.connect(new ModernHttp(url, { requestInit: bearer(token) }))
      return connection(client)
    },
  },
]

/** Clients that are programs of their own: the scripts that start them, by environment variable. */
export const programs: readonly (RealClient & { readonly script: string })[] = [
  {
    name: 'Inspector',
    script: 'TEST_INSPECTOR',
    known: /inspector/,
    speaks: { http: '2025-11-25', sse: '2025-11-25' },
    connect: async (url, token, way) => inspect(scriptOf('TEST_INSPECTOR'), url, token, way),
  },
  {
    name: 'mcp-remote',
    script: 'TEST_MCP_REMOTE',
    known: /^through-mcp-remote \(via mcp-remote [\d.]+\)\//,
    speaks: { http: '2025-11-25', sse: '2025-11-25' },
    connect: async (url, token, way) => {
      const client = new Client({ name: 'through-mcp-remote', version: '1' })
      const args = [scriptOf('TEST_MCP_REMOTE'), url.href, '--allow-http', '--transport', `${way}-only`, '--header', `Authorization: Bearer ${token}`]
      await client.connect(new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' }), { timeout: 120_000 })
      return connection(client)
    },
  },
]

function scriptOf (name: string): string {
  const script = process.env[name]
  if (script === undefined) throw new Error(`${name} is not set`)
  return script
}

/** What the clients of all SDKs have in common. */
interface SdkClient {
  listTools (): Promise<{ tools: { name: string }[] }>
  callTool (call: { name: string, arguments: Record<string, unknown> }): Promise<unknown>
  close (): Promise<void>
}

function connection (client: SdkClient): Connection {
  return {
    list: async () => (await client.listTools()).tools.map(({ name }) => name),
    call: async (name, args) => JSON.stringify(await client.callTool({ name, arguments: args })),
    close: async () => await client.close(),
  }
}

function bearer (token: string): { headers: Record<string, string> } {
  return { headers: { authorization: `Bearer ${token}` } }
}

/** The event streams of SDK v1 take headers in no other way. */
function source (token: string): { fetch: (url: string | URL, init?: object) => Promise<Response> } {
  return { fetch: async (url, init) => await fetch(url, { ...init, headers: { accept: 'text/event-stream', ...bearer(token).headers } }) }
}
