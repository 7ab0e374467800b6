import { meta, modernVersions } from '../protocol/era.ts'
import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import { version } from '../version.ts'

/** How the gateway introduces itself to upstreams. */
export const clientInfo = { name: 'portcullis', version }

/** The envelope a 2026-07-28 request of the gateway itself carries. */
export const ownEnvelope: Params = {
  [meta.protocolVersion]: modernVersions[0],
  [meta.clientInfo]: clientInfo,
  [meta.clientCapabilities]: {},
}

/** Which of our listens a notification came by. */
export function subscriptionOf ({ _meta }: Record<string, unknown>): unknown {
  return isObject(_meta) ? _meta[meta.subscriptionId] : undefined
}

/** The id of our own listen means nothing to anybody else. */
export function withoutSubscription (params: Record<string, unknown>): Record<string, unknown> {
  const { _meta, ...kept } = params
  if (!isObject(_meta) || _meta[meta.subscriptionId] === undefined) return params
  const { [meta.subscriptionId]: own, ...more } = _meta
  return Object.keys(more).length === 0 ? kept : { ...kept, _meta: more }
}
