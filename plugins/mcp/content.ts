import { reserved } from '../../src/bridge/params.ts'
import type { Call } from '../../src/call.ts'
import { isObject } from '../../src/protocol/message.ts'

/**
 * What a message carries to the upstream: what the guards look at and the record keeps. The arguments of a call; for
 * other methods every member of params that is not the envelope. Undefined when there is nothing of the kind.
 */
export function contentOf (call: Call): unknown {
  const { params, method } = call
  if (method === 'tools/call' && params['inputResponses'] === undefined) return params['arguments']
  const { _meta, cursor, name, ...content } = params
  return Object.keys(content).length === 0 ? undefined : content
}

/**
 * What goes to the upstream beside the content, for the guards only: the name of a prompt, which nobody looks up in a
 * list as that of a tool is, and the members of `_meta` that are neither the envelope nor the gateway's own.
 */
export function asideOf ({ method, params }: Call): unknown {
  const meta = params['_meta']
  const name = method === 'prompts/get' ? params['name'] : undefined
  if (meta === undefined) return name
  const members = isObject(meta) ? Object.entries(meta).filter(([key]) => key !== 'progressToken' && !reserved.has(key)) : []
  return members.length === 0 ? name : [name, ...members]
}
