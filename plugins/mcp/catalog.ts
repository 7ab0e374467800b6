import { toolForLegacy } from '../../src/bridge/output.ts'
import type { Call, Principal, Target } from '../../src/call.ts'
import type { Config } from '../../src/config/config.ts'
import type { Log } from '../../src/log.ts'
import type { Policy } from '../../src/policy/policy.ts'
import { lists } from '../../src/protocol/methods.ts'
import type { ListMethod } from '../../src/protocol/methods.ts'
import { isShortened, publicNames, qualify, split } from '../../src/protocol/names.ts'
import type { PublicNames } from '../../src/protocol/names.ts'
import type { Instance } from '../../src/upstreams/instance.ts'
import type { Item } from '../../src/upstreams/introduction.ts'
import type { Supervisor } from '../../src/upstreams/supervisor.ts'
import { ownerOf } from './owner.ts'
import { resourceOwners } from './resource-owners.ts'
import type { ResourceOwners } from './resource-owners.ts'

/** What the aggregated endpoint shows of one upstream. */
export interface Shelf { readonly upstream: string, readonly items: readonly Item[] }

/** What a principal can see of all upstreams, and what a name of the aggregated endpoint means. */
export interface Catalog extends Pick<ResourceOwners, 'learn'> {
  /** The merged list of the aggregated endpoint: in the order of the config, filtered by policy, names qualified. */
  merged (call: Call, method: ListMethod): Promise<Shelf[]>
  /** The items of one upstream's page that the principal may see. */
  visible (principal: Principal, upstream: string, method: ListMethod, items: readonly unknown[]): Item[]
  /** What a name or URI of the aggregated endpoint stands for; a promise only where an upstream's list has to be asked. */
  locate (call: Call, kind: Target['kind'], name: string): Target | undefined | Promise<Target | undefined>
  /** True for a tool that the aggregated endpoint does not offer since it looks like another of the same upstream. */
  isLookAlike (instance: Instance, tool: string): boolean
  /** Whether the tool is in the list of the caller's instance, or was in the last one's where none is up. Asks nobody. */
  isListed (call: Call, target: Target): boolean
}

export function createCatalog ({ config, policy, supervisor, log }: { config: Config, policy: Policy, supervisor: Supervisor, log: Log }): Catalog {
  /** By the list, or the tools, that the names are of: they are gone when those are. */
  const known = new WeakMap<object, PublicNames>()
  const owners = resourceOwners({ reached, itemsOf, allowed: (principal, target) => policy.decide(principal, target).allowed })
  return { merged, visible, locate, isLookAlike, isListed, learn: owners.learn }

  async function merged (call: Call, method: ListMethod): Promise<Shelf[]> {
    const { kind, name } = lists[method]
    const shelves = await Promise.all(reached(call.principal).map(async (upstream) => {
      const items = await itemsOf(call, upstream, method)
      const own = visible(call.principal, upstream, method, items)
      const shown = itemsFor(call, supervisor.peek(upstream, ownerOf(call), call.era), method, own)
      return { upstream, items: kind === 'resource' ? shown : named(upstream, shown, namesOf(upstream, items)) }
    }))
    return unique(shelves, name)
  }

  function visible (principal: Principal, upstream: string, method: ListMethod, items: readonly unknown[]): Item[] {
    const { kind, name } = lists[method]
    return (items as (Item | null)[]).filter((item): item is Item => {
      const given = item?.[name]
      return typeof given === 'string' && policy.decide(principal, { kind, upstream, name: given }).allowed
    })
  }

  function locate (call: Call, kind: Target['kind'], name: string): Target | undefined | Promise<Target | undefined> {
    if (kind === 'resource') return owners.ownerOf(call, name)
    const parts = split(name)
    if (parts === undefined) return undefined
    const target = { kind, upstream: parts.upstream, name: parts.name }
    // A tool is looked up in its list anyway; only a name that is not the tool's own leads nowhere without it.
    return (kind === 'tool' && !isShortened(name)) || !policy.reaches(call.principal, parts.upstream) ? target : lookUp(call, name, target)
  }

  async function lookUp (call: Call, shown: string, target: Target): Promise<Target | undefined> {
    const names = namesOf(target.upstream, await itemsOf(call, target.upstream, target.kind === 'tool' ? 'tools/list' : 'prompts/list'))
    const own = names.own.get(shown)
    if (own !== undefined) return { ...target, name: own }
    return names.refused.has(target.name) ? undefined : target
  }

  function isLookAlike (instance: Instance, tool: string): boolean {
    const { tools, upstream } = instance
    let names = known.get(tools)
    if (names === undefined) {
      names = publicNames(upstream, tools.keys())
      known.set(tools, names)
    }
    return names.refused.has(tool)
  }

  function isListed (call: Call, { kind, upstream, name }: Target): boolean {
    if (kind !== 'tool') return true
    call.instance ??= supervisor.peek(upstream, ownerOf(call), call.era)
    return call.instance === undefined ? supervisor.didList(upstream, ownerOf(call), call.era, name) : call.instance.tools.has(name)
  }

  /** The names of a list of tools or prompts; the operator hears once what is left out, and why. */
  function namesOf (upstream: string, items: readonly Item[]): PublicNames {
    let names = known.get(items)
    if (names === undefined) {
      names = publicNames(upstream, items.flatMap(({ name }) => typeof name === 'string' ? [name] : []))
      known.set(items, names)
      for (const [name, like] of names.refused) log.warn({ upstream, name, like }, 'left out of /mcp: the name looks like another one of the same upstream, so nobody could tell which is meant')
    }
    return names
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

/** A merged list does not wait longer than this for an upstream that is still starting, in milliseconds. */
const listPatienceMs = 8_000

/** Under the names of the aggregated endpoint, without those that are not offered there. */
function named (upstream: string, items: readonly Item[], { refused }: PublicNames): Item[] {
  return items.flatMap((item) => {
    const name = String(item['name'])
    return refused.has(name) ? [] : [{ ...item, name: qualify(upstream, name) }]
  })
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

/** The first that offers a name or URI has it. */
function unique (shelves: readonly Shelf[], name: string): Shelf[] {
  const seen = new Set<unknown>()
  return shelves.map(({ upstream, items }) => ({ upstream, items: items.filter((item) => !seen.has(item[name]) && seen.add(item[name])) }))
}
