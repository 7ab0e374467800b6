import { isIP } from 'node:net'

import { LRUCache } from 'lru-cache'
import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'

import type { OAuthSpec } from '../../src/config/config.ts'

/** Documents that are fetched for one address of a person, a minute: each is a request that the gateway makes for a stranger. */
const FETCHES = 10

/**
 * Clients that are named by the address of a document about them. Pinned ones come from the configuration; others are
 * fetched by oidc-provider: no redirects, 5 kB, 2.5 s, and never from an address that is not public.
 */
export function clientDocuments ({ clientDocuments: mode, pinned }: OAuthSpec): Pick<Configuration, 'fetch'> & { readonly feature: NonNullable<NonNullable<Configuration['features']>['clientIdMetadataDocument']> } {
  const fetches = new LRUCache<string, { count: number }>({ max: 10_000, ttl: 60_000 })
  const mayFetch = (ctx: KoaContextWithOIDC): boolean => {
    const known = fetches.get(ctx.ip) ?? { count: 0 }
    if (known.count === 0) fetches.set(ctx.ip, known)
    known.count += 1
    return known.count <= FETCHES
  }
  return {
    feature: {
      enabled: mode !== 'off',
      ack: 'draft-02',
      allowFetch: async (ctx, id) => await Promise.resolve(pinned[id] !== undefined || (mode === 'fetch' && isPublicName(id) && mayFetch(ctx))),
      allowClient: async () => await Promise.resolve(true),
    },
    fetch: async (url, options) => {
      const text = pinned[String(url)]
      return text === undefined ? await fetch(url, options) : new Response(text, { headers: { 'content-type': 'application/json' } })
    },
  }
}

/** Nothing is even connected to for an address, a single label or a name that is for networks at home. What a name resolves to is checked when it is connected. */
function isPublicName (address: string): boolean {
  const { hostname, port } = new URL(address)
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0 || !hostname.includes('.') || (port !== '' && port !== '443')) return false
  return !/\.(?:localhost|local|internal|home|lan|intranet|corp|home\.arpa|test|invalid)\.?$/.test(hostname)
}
