import type { Test } from 'tap'
import type { Row, TestGateway } from '../support/gateway.ts'
import type { RealClient, Way } from './clients.ts'
import { inFrontOfRealServers, servers } from './servers.ts'

/** Where a client may turn to: the addresses, and what a tool is called there. */
const endpoints: Readonly<Record<string, { way: Way, path: (server: string) => string, name: (server: string, tool: string) => string }>> = {
  '/mcp': { way: 'http', path: () => '/mcp', name: (server, tool) => `${server}__${tool}` },
  '/mcp/:upstream': { way: 'http', path: (server) => `/mcp/${server}`, name: (_server, tool) => tool },
  '/sse': { way: 'sse', path: () => '/sse', name: (server, tool) => `${server}__${tool}` },
  '/sse/:upstream': { way: 'sse', path: (server) => `/sse/${server}`, name: (_server, tool) => tool },
}

interface Cell {
  readonly client: RealClient
  readonly endpoint: string
  readonly server: string
  /** Why it failed; undefined when the list and the reply were right. */
  readonly fault: string | undefined
}

/** Every client at every endpoint it knows uses every server; each call must be answered and recorded. One table says how it went. */
export async function tryAll (t: Test, clients: readonly RealClient[]): Promise<void> {
  const gateway = await inFrontOfRealServers(t)
  const token = await gateway.addUser('alice', ['user'])
  const cells: Cell[] = []
  for (const client of clients) {
    for (const endpoint of Object.keys(endpoints)) {
      if (client.speaks[endpoints[endpoint]?.way ?? 'http'] === undefined) continue
      for (const server of Object.keys(servers)) cells.push({ client, endpoint, server, fault: await faultOf(tryOne(gateway, token, client, endpoint, server, `word${cells.length}`)) })
    }
  }
  const rows = await gateway.rows({ method: 'tools/call' })
  t.equal(rows.length, cells.length, 'a row for each call')
  const judged = cells.map((cell, index) => ({ ...cell, fault: cell.fault ?? rowFault(cell, rows[index]) }))
  for (const line of table(judged)) t.comment(line)
  for (const { client, endpoint, server, fault } of judged) t.equal(fault, undefined, `${client.name}, ${endpoint}, ${server}`)
}

async function tryOne (gateway: TestGateway, token: string, client: RealClient, endpoint: string, server: string, word: string): Promise<void> {
  const where = endpoints[endpoint]
  const tried = servers[server]
  if (where === undefined || tried === undefined) throw new Error('no such cell')
  const connection = await client.connect(new URL(gateway.url + where.path(server)), token, where.way)
  try {
    const name = where.name(server, tried.tool)
    const names = await connection.list()
    if (!names.includes(name)) throw new Error(`${name} is not among the tools: ${names.join()}`)
    const said = await connection.call(name, tried.args(word))
    if (!tried.reply(word).test(said)) throw new Error(`not the reply of ${name}: ${said}`)
  } finally {
    await connection.close()
  }
}

async function faultOf (trying: Promise<void>): Promise<string | undefined> {
  return await trying.then(() => undefined, (error: unknown) => String(error))
}

function rowFault ({ client, endpoint, server }: Cell, row: Row | undefined): string | undefined {
  const expected = { principal: 'alice', upstream: server, tool: servers[server]?.tool, era: client.speaks[endpoints[endpoint]?.way ?? 'http'], decision: 'allow', outcome: 'ok' }
  const wrong = Object.entries(expected).filter(([name, value]) => row?.[name] !== value).map(([name, value]) => `${name} is ${String(row?.[name])}, not ${value}`)
  if (!client.known.test(String(row?.['client']))) wrong.push(`client is ${String(row?.['client'])}`)
  return wrong.length === 0 ? undefined : wrong.join('; ')
}

/** A line for each client and endpoint, a column for each server. */
function table (cells: readonly Cell[]): string[] {
  const names = Object.keys(servers)
  const lines = new Map<string, string[]>()
  for (const { client, endpoint, server, fault } of cells) {
    const line = `${client.name.padEnd(16)} ${endpoint.padEnd(15)} ${(client.speaks[endpoints[endpoint]?.way ?? 'http'] ?? '').padEnd(11)}`
    lines.set(line, [...lines.get(line) ?? [], (fault === undefined ? 'ok' : 'FAILED').padEnd(server.length)])
  }
  return [`${'client'.padEnd(16)} ${'endpoint'.padEnd(15)} ${'era'.padEnd(11)} ${names.join(' ')}`, ...[...lines].map(([line, verdicts]) => `${line} ${verdicts.join(' ')}`)]
}
