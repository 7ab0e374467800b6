import { meta } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'

export type Item = Readonly<Record<string, unknown>>

/** What the server said about itself in its handshake. */
export interface Introduction {
  readonly serverInfo: Item
  readonly capabilities: Item
  readonly instructions: string | undefined
}

/** What the answer to a handshake of either era says, with what clients need where it says nothing. */
export function introductionOf (upstream: string, result: Item): Introduction {
  const info = isObject(result['serverInfo']) ? result['serverInfo'] : serverInfoOf(result)
  return {
    // 2026-07-28 servers may leave it out; clients of the session era want a name and a version.
    serverInfo: { name: upstream, version: 'unknown', ...info },
    capabilities: isObject(result['capabilities']) ? result['capabilities'] : {},
    instructions: typeof result['instructions'] === 'string' ? result['instructions'] : undefined,
  }
}

/** What a 2026-07-28 server says of itself beside its answer. */
function serverInfoOf (result: Item): Item {
  const info = isObject(result['_meta']) ? result['_meta'][meta.serverInfo] : undefined
  return isObject(info) ? info : {}
}
