import type { Call } from '../../src/call.ts'
import { isUri } from '../../src/policy/uri-forms.ts'
import { maxUri } from '../../src/protocol/links.ts'
import type { Gate } from './gate.ts'
import { mayRead } from './may-read.ts'
import { ownerOf } from './owner.ts'
import { watch } from './watch.ts'

/** Resources one listen may ask for. */
const maxResources = 100

/**
 * The resources of a listen that can be honoured → the upstream that tells of them: the principal may read them, and it
 * tells of changes. A resource that is denied and one that is not there are left out alike.
 */
export async function watchAll (gate: Gate, call: Call, asked: unknown): Promise<ReadonlyMap<string, string>> {
  const uris = Array.isArray(asked) ? asked.filter((uri): uri is string => typeof uri === 'string' && uri.length <= maxUri && isUri(uri)).slice(0, maxResources) : []
  const found = await Promise.all([...new Set(uris)].map(async (uri) => {
    const upstream = await tellerOf(gate, call, uri).catch(() => undefined)
    return upstream === undefined ? [] : [[uri, upstream] as const]
  }))
  return new Map(found.flat())
}

async function tellerOf (gate: Gate, call: Call, uri: string): Promise<string | undefined> {
  const { endpoint } = call.arrival
  const target = endpoint === undefined ? await gate.catalog.locate(call, 'resource', uri) : { kind: 'resource' as const, upstream: endpoint, name: uri }
  if (target === undefined || !mayRead(gate.policy, call.principal, target.upstream, uri) || gate.guards.checkPatterns({ uri }, target) !== null) return undefined
  const instance = await gate.supervisor.instance(target.upstream, ownerOf(call), call.era)
  return await watch(instance, uri) ? target.upstream : undefined
}
