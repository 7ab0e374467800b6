import type { Answered, Call } from '../../src/call.ts'
import { ownResult } from '../../src/bridge/result.ts'
import { Refusal } from '../../src/errors.ts'
import { openCursor, sealCursor } from '../../src/protocol/cursors.ts'
import { meta } from '../../src/protocol/era.ts'
import { isObject } from '../../src/protocol/message.ts'
import type { Params } from '../../src/protocol/message.ts'
import { isListMethod, lists } from '../../src/protocol/methods.ts'
import type { ListMethod } from '../../src/protocol/methods.ts'
import type { Item } from '../../src/upstreams/introduction.ts'
import { itemsFor } from './catalog.ts'
import type { Shelf } from './catalog.ts'
import type { Gate } from './gate.ts'
import { instanceOf, send } from './send.ts'

/** A list shows exactly what a call would not refuse: one upstream's page as it is, or all upstreams merged. */
export async function list (gate: Gate, call: Call): Promise<Answered> {
  const { method } = call
  if (!isListMethod(method)) throw new Refusal('PORTCULLIS_UNKNOWN_METHOD')
  return call.arrival.endpoint === undefined ? await merged(gate, call, method) : await page(gate, call, call.arrival.endpoint, method)
}

async function merged (gate: Gate, call: Call, method: ListMethod): Promise<Answered> {
  const { cursor } = call.params
  const bound = { principalId: call.principal.id, method }
  const from = cursor === undefined ? undefined : openCursor(gate.stateKey, bound, cursor)
  if (cursor !== undefined && from === undefined) throw strayCursor()
  const entries = (await gate.catalog.merged(call, method)).flatMap(entriesOf)
  const begin = from === undefined ? 0 : entries.findIndex(({ upstream, offset }) => upstream === from.upstream && offset >= from.offset)
  if (begin < 0) throw strayCursor()
  const next = entries[begin + pageSize]
  return answer(call, method, entries.slice(begin, begin + pageSize).map(({ item }) => item), next === undefined ? {} : { nextCursor: sealCursor(gate.stateKey, bound, next) })
}

/** Items of a merged list on one page. Most clients read the first page only, so that one holds what nearly all gateways have. */
const pageSize = 500

function entriesOf ({ upstream, items }: Shelf): { upstream: string, offset: number, item: Item }[] {
  return items.map((item, offset) => ({ upstream, offset, item }))
}

/** The same for a cursor of somebody else, of another list, and one that was altered or led to what is gone. */
function strayCursor (): Refusal {
  return new Refusal('PORTCULLIS_INVALID_PARAMS', { message: 'params.cursor is not one of this list: begin again without it.' })
}

/** Filtered page by page; an empty page with a cursor is legal. */
async function page (gate: Gate, call: Call, upstream: string, method: ListMethod): Promise<Answered> {
  const instance = await instanceOf(gate, call)
  const given = await send(instance, call)
  if (given.kind === 'error') return given
  const result = JSON.parse(String(given.text)) as Record<string, unknown>
  const items = result[lists[method].member]
  const shown = gate.catalog.visible(call.principal, upstream, method, Array.isArray(items) ? items : [])
  return answer(call, method, itemsFor(call, instance, method, shown), result)
}

function answer (call: Call, method: ListMethod, items: readonly Item[], rest: Readonly<Record<string, unknown>>): Answered {
  const { ttlMs, cacheScope, resultType, _meta, ...more } = rest
  const kept = { ...more, _meta: call.era === 'legacy' && isObject(_meta) ? withoutServer(_meta) : _meta }
  // What is filtered for one user must never be cached for another (specification 2026-07-28, caching).
  const caching = call.era === 'modern' ? { ttlMs: ttlMs ?? 0, cacheScope: 'private' } : {}
  const shown = call.era === 'modern' ? items.map(({ execution, ...item }) => item) : items
  return { kind: 'result', text: ownResult({ ...kept, ...caching, [lists[method].member]: shown }, call.era, call.record), toolError: false }
}

/** A server of 2026-07-28 says who it is with every answer; in the session era it has said so once. */
function withoutServer ({ [meta.serverInfo]: server, ...kept }: Params): Params {
  return kept
}
