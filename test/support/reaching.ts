import { join } from 'node:path'
import type { Test } from 'tap'
import { fixtures, startGateway, until } from './gateway.ts'
import type { Row, TestGateway } from './gateway.ts'

/** What a test asks an upstream in its cell to reach, and how: with CONNECT, as plain HTTP, with a tunnel that stays open, or past the proxy. */
export interface Reach { readonly how: string, readonly host: string, readonly port: number, readonly header?: string }

/** A configuration with one upstream, whose tool tries to reach what it is told. */
export function configuration (sandbox: Record<string, unknown>): Record<string, unknown> {
  return {
    upstreams: { net: { command: ['node', join(fixtures, 'reaching.mjs')], sandbox } },
    roles: { user: { allow: ['net/*'] }, admin: { allow: ['*/*'] } },
    guards: { defaults: false }, // the names of metadata services would not even reach the upstream
    limits: [],
  }
}

/** A gateway whose upstream may reach what `sandbox` says, and a hand on its one tool. */
export async function reaching (t: Test, sandbox: Record<string, unknown>): Promise<{ gateway: TestGateway, reach: (asked: Reach) => Promise<string> }> {
  const gateway = await startGateway(t, { yaml: configuration(sandbox) })
  const client = await gateway.client('/mcp/net', await gateway.addUser('alice', ['user']))
  return {
    gateway,
    reach: async (asked) => {
      const { content } = await client.callTool({ name: 'reach', arguments: { ...asked } }) as { content: { text: string }[] }
      return content[0]?.text ?? ''
    },
  }
}

/** The connections on record, oldest first. */
export async function egress (gateway: TestGateway): Promise<Row[]> {
  return await gateway.rows({ kind: 'egress' })
}

/** The same, when none of them is open any more. */
export async function ended (gateway: TestGateway): Promise<Row[]> {
  await until(async () => (await egress(gateway)).every(({ outcome }) => outcome !== 'in_flight'))
  return await egress(gateway)
}
