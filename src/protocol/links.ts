import { isObject } from './message.ts'
import type { Params } from './message.ts'

/** Characters of a URI that is remembered: whoever makes one up may not fill the gateway's memory with it. */
export const maxUri = 2048
/** Links of one result that are remembered. */
const maxLinks = 64

/** The resources that a result points at: links and embedded resources of a tool or prompt, parts of what was read. */
export function linksOf (result: Params): string[] {
  const uris: string[] = []
  for (const block of blocksOf(result)) {
    const uri = block['type'] === 'resource' && isObject(block['resource']) ? block['resource']['uri'] : block['uri']
    if (typeof uri === 'string' && uris.length < maxLinks) uris.push(uri)
  }
  return uris
}

/** The resource an app's tool is shown in, which need not be listed (MCP Apps; the flat key is the older form). */
export function appOf (tool: Params): string | undefined {
  const meta = isObject(tool['_meta']) ? tool['_meta'] : {}
  const uri = isObject(meta['ui']) ? meta['ui']['resourceUri'] : meta['ui/resourceUri']
  return typeof uri === 'string' ? uri : undefined
}

function blocksOf ({ content, contents, messages }: Params): Params[] {
  const ofMessages = Array.isArray(messages) ? messages.map((message: unknown) => isObject(message) ? message['content'] : undefined) : []
  return [content, contents, ...ofMessages].flat(2).filter(isObject)
}
