import { toolForLegacy } from '../../src/bridge/output.ts'
import type { Call, Principal, Target } from '../../src/call.ts'
import type { Config } from '../../src/config/config.ts'
import type { Log } from '../../src/log.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { lists } from '../../src/protocol/methods.ts'
import type { ListMethod } from '../../src/protocol/methods.ts'
import { qualify } from '../../src/protocol/names.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Item } from '../../src/upstreams/introduction.ts'
import type { Supervisor } from '../../src/upstreams/supervisor.ts'
import { ownerOf } from './owner.ts'

/** What a principal can see of all upstreams: merged lists, and who owns a resource. */
export interface Catalog {
  /** The merged list of the aggregated endpoint: in the order of the config, filtered by policy, names qualified. */
  merged (call: Call, method: ListMethod): Promise<Item[]>
  /** The items of one upstream's page that the principal may see. */
  visible (principal: Principal, upstream: string, method: ListMethod, items: readonly unknown[]): Item[]
  /** The upstream that offers a resource, among those the principal can reach. */
  ownerOf (call: Call, uri: string): Promise<Target | undefined>
  /** False only when the tool is known not to exist. Asks nobody. */
  mayExist (call: Call, target: Target): boolean
}

export function createCatalog ({ config, policy, supervisor, log }: { config: Config, policy: Policy, supervisor: Supervisor, log: Log }): Catalog {
  return { merged, visible, ownerOf: findOwner, mayExist }

  async function merged (call: Call, method: ListMethod): Promise<Item[]> {
    const { kind, name } = lists[method]
    const upstreams = reached(call.principal)
    const found = await Promise.all(upstreams.map(async (upstream) => {
      const own = visible(call.principal, upstream, method, await itemsOf(call, upstream, method))
      return itemsFor(call, supervisor.peek(upstream, ownerOf(call), call.era), method, own)
    }))
    const items = found.flatMap((own, at) => kind === 'resource' ? own : own.map((item) => ({ ...item, name: qualify(upstreams[at] ?? '', String(item['name'])) })))
    return kind === 'resource' ? unique(items, name) : items
  }

  function visible (principal: Principal, upstream: string, method: ListMethod, items: readonly unknown[]): Item[] {
    const { kind, name } = lists[method]
    return (items as (Item | null)[]).filter((item): item is Item => {
      const given = item?.[name]
      return typeof given === 'string' && policy.decide(principal, { kind, upstream, name: given }).allowed
    })
  }

  async function findOwner (call: Call, uri: string): Promise<Target | undefined> {
    const upstreams = reached(call.principal)
    for (const method of ['resources/list', 'resources/templates/list'] as const) {
      const offered = await Promise.all(upstreams.map((upstream) => itemsOf(call, upstream, method)))
      const at = offered.findIndex((items) => items.some((item) => offers(item, method, uri)))
      const upstream = upstreams[at]
      if (upstream !== undefined) return { kind: 'resource', upstream, name: uri }
    }
    return undefined
  }

  function mayExist (call: Call, target: Target): boolean {
    if (target.kind !== 'tool') return true
    call.instance ??= supervisor.peek(target.upstream, ownerOf(call), call.era)
    return call.instance === undefined || call.instance.tools.has(target.name)
  }

  function reached (principal: Principal): string[] {
    return [...config.upstreams.keys()].filter((upstream) => policy.reaches(principal, upstream))
  }

  /** One failing upstream never fails the list of the others. */
  async function itemsOf (call: Call, upstream: string, method: ListMethod): Promise<readonly Item[]> {
    try {
      const items = (async () => await (await supervisor.instance(upstream, ownerOf(call), call.era)).list(method))()
      return await within(listPatienceMs, items)
    } catch (error) {
      log.warn({ record: call.record, upstream, method, reason: error instanceof Error ? error.message : String(error) }, 'upstream left out of a merged list')
      return []
    }
  }
}

/** Items as the client's era can read them. */
export function itemsFor (call: Call, instance: Instance | undefined, method: ListMethod, items: Item[]): Item[] {
  return method === 'tools/list' && call.era === 'legacy' && instance?.era === 'modern' ? items.map(toolForLegacy) : items
}

/** Characters a template may have to be looked at. */
const maxTemplate = 2048
/** A merged list does not wait longer than this for an upstream that is still starting, in milliseconds. */
const listPatienceMs = 8_000

function offers (item: Item, method: ListMethod, uri: string): boolean {
  const given = item[lists[method].name]
  if (typeof given !== 'string') return false
  return method === 'resources/list' ? given === uri : fits(given, uri)
}

/** Does the URI fit the template's literal parts, in order? (RFC 6570; every expression stands for any text.) */
function fits (template: string, uri: string): boolean {
  if (template.length > maxTemplate) return false
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

async function within<T> (milliseconds: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => { timer = setTimeout(() => reject(new Error(`nothing within ${milliseconds} ms`)), milliseconds) })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

function unique (items: Item[], name: string): Item[] {
  const seen = new Set<unknown>()
  return items.filter((item) => !seen.has(item[name]) && seen.add(item[name]))
}
