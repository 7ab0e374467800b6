import { Refusal } from '../errors.ts'
import { offered } from '../protocol/capabilities.ts'
import type { AskKind } from '../protocol/capabilities.ts'
import { legacyVersions, modernVersions } from '../protocol/era.ts'
import type { Era } from '../protocol/era.ts'
import type { Json } from '../protocol/spliced.ts'
import { clientInfo, ownEnvelope } from './envelope.ts'
import type { Item } from './introduction.ts'

/** The server does not speak the era it was opened in; the other era may work. */
export class WrongEra extends Error {}

/** A server that has not answered server/discover by then is taken for one that does not know it. */
const probeMs = 10_000

interface Greeting {
  /** What the server may ask of clients. */
  readonly mayAsk: readonly AskKind[]
  /** It is reached over a network, whose failures say nothing about the server. */
  readonly isRemote: boolean
  /** @throws WrongEra when the server refuses */
  ask (method: string, params: string, timeoutMs: number): Promise<Json>
}

/**
 * How a server of each era is greeted, and what it says of itself.
 * @throws WrongEra when the server refuses the handshake, Refusal when it dies or stays silent
 */
export const greet: Readonly<Record<Era, (greeting: Greeting, timeoutMs: number) => Promise<Item>>> = {
  async legacy ({ mayAsk, ask }, timeoutMs) {
    return read(await ask('initialize', JSON.stringify({ protocolVersion: legacyVersions[0], capabilities: offered(mayAsk), clientInfo }), timeoutMs))
  },

  async modern ({ isRemote, ask }, timeoutMs) {
    const result = await ask('server/discover', JSON.stringify({ _meta: ownEnvelope }), Math.min(timeoutMs, probeMs)).then(read, (error: unknown) => {
      if (isRemote && error instanceof Refusal && error.code === 'PORTCULLIS_UPSTREAM_FAILED') throw error
      // Some servers exit on what they do not know, others keep silent: both may be of the other era.
      throw error instanceof WrongEra ? error : new WrongEra('server/discover was not answered', { cause: error })
    })
    const versions = result['supportedVersions']
    if (!Array.isArray(versions) || !versions.includes(modernVersions[0])) throw new WrongEra('server/discover names no version this gateway speaks')
    return result
  },
}

function read (text: Json): Item {
  return JSON.parse(String(text)) as Item
}
