import { LRUCache } from 'lru-cache'
import type { Call, Principal, Target } from '../../src/call.ts'
import { appOf, linksOf, maxUri } from '../../src/protocol/links.ts'
import type { Params } from '../../src/protocol/message.ts'
import { lists } from '../../src/protocol/methods.ts'
import type { ListMethod } from '../../src/protocol/methods.ts'
import type { Json } from '../../src/protocol/spliced.ts'
import type { Item } from '../../src/upstreams/introduction.ts'

/** Which upstream a resource is read from on the aggregated endpoint, where URIs are left as they are. */
export interface ResourceOwners {
  /** The first upstream, in the order of the config, that offers the resource; else the one that last pointed this principal at it. */
  ownerOf (call: Call, uri: string): Promise<Target | undefined>
  /** Remembers what an upstream's result points at; a very long URI is not. */
  learn (call: Call, upstream: string, json: Json): void
}

export interface Offers {
  /** The upstreams a principal can reach, in order. */
  reached (principal: Principal): readonly string[]
  itemsOf (call: Call, upstream: string, method: ListMethod): Promise<readonly Item[]>
  allowed (principal: Principal, target: Target): boolean
}

/** Links that are remembered, of all principals. */
const maxLinks = 10_000
/** Characters of a result that is looked through for links. */
const maxLooked = 1024 * 1024
/** Characters a template may have to be looked at. */
const maxTemplate = 2048

export function resourceOwners ({ reached, itemsOf, allowed }: Offers): ResourceOwners {
  const links = new LRUCache<string, string>({ max: maxLinks })
  return { ownerOf, learn }

  async function ownerOf (call: Call, uri: string): Promise<Target | undefined> {
    const { principal } = call
    const upstreams = reached(principal).filter((upstream) => allowed(principal, { kind: 'resource', upstream, name: uri }))
    const linked = links.get(`${principal.id} ${uri}`)
    const owner = await offering(call, upstreams, 'resources/list', (item) => item['uri'] === uri) ??
      await offering(call, upstreams, 'resources/templates/list', (item) => fits(item[lists['resources/templates/list'].name], uri)) ??
      upstreams.find((upstream) => upstream === linked) ??
      await offering(call, upstreams, 'tools/list', (item) => appOf(item) === uri)
    return owner === undefined ? undefined : { kind: 'resource', upstream: owner, name: uri }
  }

  async function offering (call: Call, upstreams: readonly string[], method: ListMethod, offers: (item: Item) => boolean): Promise<string | undefined> {
    const offered = await Promise.all(upstreams.map((upstream) => itemsOf(call, upstream, method)))
    return upstreams[offered.findIndex((items) => items.some(offers))]
  }

  function learn (call: Call, upstream: string, json: Json): void {
    const text = json.length > maxLooked ? '' : String(json)
    if (!text.includes('"uri"')) return
    for (const uri of linksOf(JSON.parse(text) as Params)) if (uri.length <= maxUri) links.set(`${call.principal.id} ${uri}`, upstream)
  }
}

/** Does the URI fit the template's literal parts, in order? (RFC 6570; every expression stands for any text.) */
function fits (template: unknown, uri: string): boolean {
  if (typeof template !== 'string' || template.length > maxTemplate) return false
  const literals = template.split(/\{[^{}]*\}/)
  const first = literals[0] ?? ''
  if (!uri.startsWith(first)) return false
  let at = first.length
  for (const literal of literals.slice(1, -1)) {
    const found = uri.indexOf(literal, at)
    if (found < 0) return false
    at = found + literal.length
  }
  const last = literals.at(-1) ?? ''
  return literals.length === 1 ? uri === first : uri.length - last.length >= at && uri.endsWith(last)
}
