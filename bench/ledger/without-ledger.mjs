// Loaded before the gateway (--import): puts a ledger that keeps nothing in the place of its own. There is no configuration for that, on purpose.
import { register } from 'node:module'

const hooks = `export async function resolve (specifier, context, next) {
  const resolved = await next(specifier, context)
  return resolved.url.endsWith('/dist/src/ledger/ledger.js') ? { ...resolved, url: ${JSON.stringify(new URL('./no-ledger.mjs', import.meta.url).href)} } : resolved
}`
register(`data:text/javascript,${encodeURIComponent(hooks)}`)
