import { isIP } from 'node:net'
import { addressProblem, ranges } from './addresses.ts'
import { hostName, rangeProblem } from './destinations.ts'
import { present } from './reading.ts'
import { readText } from './referring.ts'
import type { RemoteSpec } from './config.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'
import type { RawUpstream } from './schema.ts'

/** Keys that speak of a process; a remote server has none. */
const local = ['command', 'args', 'env', 'cwd', 'sandbox'] as const
/** Keys that speak of a connection. */
const remote = ['headers', 'private'] as const
/** Headers that belong to the transport, or to the protocol. */
const reserved = /^(?:host|content-.*|accept|accept-encoding|connection|transfer-encoding|upgrade|te|trailer|keep-alive|expect|proxy-.*|mcp-.*|last-event-id|origin)$/i

/** `url`, `headers` and `private` of one upstream; undefined when it is a process. */
export function readRemote (raw: RawUpstream, path: Path, isolation: string, around: Surroundings): RemoteSpec | undefined {
  const { report } = around
  if (raw.url === undefined) {
    for (const key of remote) if (raw[key] !== undefined) report.problem([...path, key], 'means nothing without "url"', 'key')
    if (raw.type !== undefined && raw.type !== 'stdio') report.problem([...path, 'type'], `"${raw.type}" is a remote server: it needs "url"`)
    if (raw.command === undefined && report.clean(path)) report.problem(path, 'needs the key "command", or "url" for a remote server', 'key')
    return undefined
  }
  for (const key of local) if (raw[key] !== undefined) report.problem([...path, key], 'means nothing with "url": a remote server is not started here', 'key')
  if (raw.type === 'stdio') report.problem([...path, 'type'], '"stdio" is a process: it needs "command" instead of "url"')
  for (const [index, text] of present(raw.private)) {
    const problem = rangeProblem(text)
    if (problem !== undefined) report.problem([...path, 'private', index], problem)
  }
  const problem = urlProblem(raw.url, raw.private !== undefined)
  if (problem !== undefined) report.problem([...path, 'url'], problem)
  return { url: raw.url, headers: readHeaders(raw.headers ?? {}, [...path, 'headers'], isolation, around), private: raw.private ?? [] }
}

function urlProblem (text: string, isPrivate: boolean): string | undefined {
  if (text.includes('${')) return 'references are not replaced here: write the address, and credentials under "headers"'
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) return `"${text}" is not an address such as https://mcp.example.com/mcp`
  if (url.username !== '' || url.password !== '') return 'must hold no credentials: write them under "headers", from a secret'
  if (url.hash !== '') return 'must have no fragment'
  const host = hostName(url.hostname)
  const problem = isIP(host) === 0 ? undefined : addressProblem(host, ranges([host]))
  if (problem !== undefined) return `leads to "${host}", which no upstream may have: ${problem}`
  const isNear = isPrivate || (isIP(host) !== 0 && addressProblem(host, ranges([])) !== undefined)
  return url.protocol === 'https:' || isNear ? undefined : 'must begin with https://: calls and credentials would travel in the clear. Only a private address may do without, granted with "private"'
}

function readHeaders (raw: Readonly<Record<string, string>>, path: Path, isolation: string, around: Surroundings): Record<string, string> {
  return Object.fromEntries(Object.entries(raw).map(([name, text]) => {
    if (reserved.test(name)) around.report.problem([...path, name], `the header ${name} is set by the gateway`, 'key')
    const value = readText({ text, path: [...path, name] }, isolation, around)
    if (/[\r\n]/.test(value)) around.report.problem([...path, name], 'must be one line')
    return [name.toLowerCase(), value]
  }))
}
