/** What a token is for: the whole gateway, or one upstream. */
export interface Audience { readonly upstream?: string }

const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/

/** A resource of this gateway (RFC 8707), written exactly as its metadata says it; undefined for every other text. */
export function readAudience (publicUrl: string, text: string): Audience | undefined {
  const whole = `${publicUrl}/mcp`
  if (text === whole) return {}
  if (!text.startsWith(`${whole}/`)) return undefined
  const upstream = text.slice(whole.length + 1)
  // Any possible name, so that nobody learns here which upstreams exist.
  return NAME.test(upstream) ? { upstream } : undefined
}
