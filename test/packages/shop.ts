import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadConfig } from '../../src/config/config.ts'
import type { Config } from '../../src/config/config.ts'
import { startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'
import type { TestRegistry } from '../support/registry.ts'

export interface Shop { readonly gateway: TestGateway, readonly config: Config, reach (args: object): Promise<string> }

/** A gateway whose one upstream is a package of the registry, in a folder that may be kept for another one. */
export async function shop (t: Test, registry: TestRegistry, folder: string, command: string, more: object = {}): Promise<Shop> {
  const gateway = await startGateway(t, {
    folder,
    yaml: {
      upstreams: { tool: { command, ...more } },
      packages: { npm: registry.url },
      roles: { user: { allow: ['tool/*'] } },
      limits: [],
    },
  })
  const token = await gateway.addUser(`user${++users}`, ['user'])
  return {
    gateway,
    config: loadConfig({ PORTCULLIS_DATA: join(folder, 'data') }, { file: join(folder, 'upstreams.yaml') }),
    async reach (args) {
      const client = await gateway.client('/mcp/tool', token)
      const { content } = await client.callTool({ name: 'reach', arguments: { ...args } }) as { content: { text: string }[] }
      return content[0]?.text ?? ''
    },
  }
}

let users = 0

export function folderFor (t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-packages-'))
  chmodSync(folder, 0o755)
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const lockOf = (folder: string): { upstreams: Record<string, { wanted: string, version: string, integrity: string, digest: string, plan: unknown }> } => JSON.parse(readFileSync(join(folder, 'upstreams.lock.json'), 'utf8')) as ReturnType<typeof lockOf>
export const logged = (gateway: TestGateway, text: string): string => gateway.log().split('\n').find((line) => line.includes(text)) ?? ''

/** The pin of the one upstream. */
export function pinIn (folder: string): { wanted: string, version: string, integrity: string, digest: string, plan: unknown } {
  const pin = lockOf(folder).upstreams['tool']
  if (pin === undefined) throw new Error('nothing is pinned')
  return pin
}
