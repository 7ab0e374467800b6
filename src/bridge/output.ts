import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'

/** Where a value that is no object stands in the object the session era wants. */
const member = 'result'

/** A tool of a 2026-07-28 server as the session era can describe it: there, the root of an output schema is an object. */
export function toolForLegacy (tool: Params): Params {
  const { outputSchema } = tool
  return isWrapped(outputSchema) ? { ...tool, outputSchema: { type: 'object', properties: { [member]: moved(outputSchema) }, required: [member] } } : tool
}

/**
 * The members of a tool's result that differ for a client of the session era: structured content is an object there, as
 * the tool's schema says that it is; and clients that do not know it find a copy as text.
 */
export function outputForLegacy (result: Params, outputSchema: unknown): Params {
  const given = result['structuredContent']
  if (given === undefined) return {}
  const structuredContent = isWrapped(outputSchema) || !isObject(given) ? { [member]: given } : given
  const isBare = !Array.isArray(result['content']) || result['content'].length === 0
  return { structuredContent, ...(isBare ? { content: [{ type: 'text', text: JSON.stringify(given) }] } : {}) }
}

function isWrapped (schema: unknown): boolean {
  return schema !== undefined && !(isObject(schema) && schema['type'] === 'object')
}

/** References into the schema follow it to its new place; one with an `$id` keeps its own. */
function moved (schema: unknown): unknown {
  if (isObject(schema) && schema['$id'] !== undefined) return schema
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) => key === '$ref' && typeof value === 'string' && /^#(\/|$)/.test(value) ? `#/properties/${member}${value.slice(1)}` : value) as unknown
}
