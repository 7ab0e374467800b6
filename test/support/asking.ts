import { join } from 'node:path'
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import type { Test } from 'tap'
import { fixtures, startGateway } from './gateway.ts'
import type { TestGateway } from './gateway.ts'

export interface Form { message: string, mode?: string, url?: string }
export type Answer = { action: 'accept' | 'decline' | 'cancel', content?: Record<string, string> }

const envelope = (capabilities: object): object => ({ 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': capabilities })

export interface Reply { status: number, result: { resultType: string, requestState: string, inputRequests: Record<string, { method: string, params: Form }>, content: { text: string }[], isError?: boolean }, error: { code: number, message: string, data: Record<string, unknown> } }

/** The fixtures that ask: `curious` speaks the session era, `asker` 2026-07-28. */
export async function start (t: Test, curious: Record<string, unknown> = {}, { audit, ...options }: Omit<NonNullable<Parameters<typeof startGateway>[1]>, 'yaml'> & { audit?: object } = {}): Promise<TestGateway> {
  return await startGateway(t, {
    ...options,
    yaml: {
      ...(audit === undefined ? {} : { audit }),
      upstreams: {
        curious: { command: ['node', join(fixtures, 'curious.mjs')], timeouts: { call: '20s' }, ...curious },
        asker: { command: ['node', join(fixtures, 'asker.mjs')], asks: ['elicitation', 'sampling', 'roots'] },
      },
      roles: { user: { allow: ['*/*'] } },
      limits: [{ calls: 100_000, per: 'hour', by: ['user', 'tool'] }],
    }
  })
}

export async function modernClient (t: Test, gateway: TestGateway, token: string, path: string, answer: (form: Form) => Answer | Promise<Answer>): Promise<ModernClient> {
  const client = new ModernClient({ name: 'v2', version: '2.0.0' }, { versionNegotiation: { mode: 'auto' }, capabilities: { elicitation: { form: {}, url: {} } } })
  client.setRequestHandler('elicitation/create', async ({ params }) => await answer(params as Form))
  await client.connect(new ModernTransport(new URL(gateway.url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }))
  t.teardown(() => client.close())
  return client
}

/** A client of SDK v1 that can be asked everything. */
export async function legacyClient (t: Test, gateway: TestGateway, token: string, path: string, answer: (form: Form) => Answer | Promise<Answer>, capabilities: object = { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} }): Promise<Client> {
  const client = new Client({ name: 'v1', version: '1.0.0' }, { capabilities })
  if ('elicitation' in capabilities) client.setRequestHandler(ElicitRequestSchema, async ({ params }) => await answer(params as Form))
  if ('sampling' in capabilities) client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant' as const, model: 'test', content: { type: 'text' as const, text: 'hello' } }))
  if ('roots' in capabilities) client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///here', name: 'here' }] }))
  await client.connect(new StreamableHTTPClientTransport(new URL(gateway.url + path), { requestInit: { headers: { authorization: `Bearer ${token}` } } }) as Transport)
  t.teardown(() => client.close())
  return client
}

/** One round of a raw 2026-07-28 call. */
export async function round (gateway: TestGateway, token: string, name: string, more: Record<string, unknown> = {}, { args = {}, capabilities = { elicitation: { form: {}, url: {} } }, upstream = 'curious' }: { args?: object, capabilities?: object, upstream?: string } = {}): Promise<Reply> {
  const response = await gateway.post(`/mcp/${upstream}`, token, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, ...more, _meta: envelope(capabilities) } }, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name })
  const text = await response.text()
  return { status: response.status, ...JSON.parse(/^(event|id):/.test(text) ? text.split('data: ').at(-1) ?? '' : text) as object } as Reply
}

export const textOf = (result: unknown): string => (result as { content: { text: string }[] }).content[0]?.text ?? ''
export const accept = (colour: string): Answer => ({ action: 'accept', content: { colour } })
export const answers = ({ result }: Reply, colour: string): Record<string, unknown> => ({ requestState: result.requestState, inputResponses: Object.fromEntries(Object.keys(result.inputRequests).map((key) => [key, accept(colour)])) })
