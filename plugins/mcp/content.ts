import type { Call } from '../../src/call.ts'

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
