import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { BlockList } from 'node:net'
import type { Destination, NetworkSpec } from '../config/config.ts'
import { hostName } from '../config/destinations.ts'
import { addressProblem, ranges } from '../config/addresses.ts'

/** What an upstream asked to be connected to, and what came of it. */
export type Verdict = Allowed | { readonly allowed: false, readonly host: string, readonly port: number, readonly address?: string, readonly reason: string }

/** `address` is what is to be dialled. */
export interface Allowed { readonly allowed: true, readonly host: string, readonly port: number, readonly address: string }

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>

/** Judges what one upstream asks for. A name is resolved once; the address that was judged is the one to dial. */
export function judgeOf (network: NetworkSpec, resolve: Resolve = resolveHere): (host: string, port: number) => Promise<Verdict> {
  const granted = ranges(network.private)
  return async (written, port) => {
    const host = hostName(written)
    if (!network.allow.some((destination) => matches(destination, host, port))) return { allowed: false, host, port, reason: 'sandbox.network does not name it' }
    const addresses = isIP(host) === 0 ? await resolve(host).catch(() => []) : [host]
    return judge(host, port, addresses, isIP(host) === 0 ? granted : ranges([...network.private, host]))
  }
}

/** One address that is refused spoils them all: no honest name leads both here and there. */
function judge (host: string, port: number, addresses: readonly string[], granted: BlockList): Verdict {
  for (const address of addresses) {
    const problem = addressProblem(address, granted)
    if (problem !== undefined) return { allowed: false, host, port, address, reason: `${address}: ${problem}` }
  }
  const [address] = addresses
  return address === undefined ? { allowed: false, host, port, reason: 'the name has no address' } : { allowed: true, host, port, address }
}

function matches (destination: Destination, host: string, port: number): boolean {
  if (destination.port !== port) return false
  if (!destination.host.startsWith('*.')) return destination.host === host
  return host.endsWith(destination.host.slice(1)) && host.length > destination.host.length - 1
}

async function resolveHere (host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}
