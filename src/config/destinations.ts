import { isIP } from 'node:net'
import type { Destination } from './config.ts'

/** What is reached when an entry names no port. */
const httpsPort = 443

/**
 * One entry of `network`: `host`, `host:port`, `*.host` (every name below it, not itself), an IPv4 address or an IPv6
 * address in brackets. A text says what is wrong with it.
 */
export function readDestination (text: string): Destination | string {
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)
  if (url !== null) return `"${text}" is an address of a page: write the host, and its port when it is not 443`
  const parts = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(text)
  if (parts?.[1] === undefined) return `"${text}" is not host, host:port, or [IPv6 address]:port`
  const port = parts[2] === undefined ? httpsPort : Number(parts[2])
  if (port < 1 || port > 65_535) return `"${text}" must have a port from 1 to 65535`
  const host = hostName(parts[1])
  const problem = host.includes('/') ? 'one address or name is wanted, not a range' : isName(host) ? undefined : 'that is no name of a host: letters, digits, hyphens and dots, and "*." only in front'
  return problem === undefined ? { host, port } : `"${text}" cannot be allowed: ${problem}`
}

/** A range such as 10.0.0.0/8 or one address. A text says what is wrong with it. */
export function rangeProblem (text: string): string | undefined {
  const [address = '', length, ...more] = text.split('/')
  const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1
  const isRange = more.length === 0 && bits > 0 && (length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= bits))
  return isRange ? undefined : `"${text}" is not a range of addresses such as 10.0.0.0/8`
}

/** Lower case, without the brackets of an IPv6 address and the dot that ends a full name. */
export function hostName (text: string): string {
  return text.toLowerCase().replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '')
}

function isName (host: string): boolean {
  if (isIP(host) !== 0) return true
  const labels = host.replace(/^\*\./, '').split('.')
  // all digits and dots, or 0x…: other spellings of an address that a resolver might take for one
  const isNumber = /^(0x[0-9a-f]*|\d+)$/.test(labels.at(-1) ?? '')
  return host.length <= 253 && !isNumber && (!host.startsWith('*.') || labels.length > 1) && labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
}
