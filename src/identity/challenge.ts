import type { Refusal, RefusalCode } from '../errors.ts'

/** The one scope there is: to use the gateway as the user may. */
export const SCOPE = 'mcp'

/** The scope of a personal access token that is for the admin API, and for nothing else. */
export const ADMIN_SCOPE = 'mcp:admin'

export const METADATA_PATH = '/.well-known/oauth-protected-resource'

/** Paths that are resources of their own. */
const RESOURCE = /^\/mcp(?:\/[a-z0-9][a-z0-9-]{0,31})?(?=\/?$)/

/** What is wrong with a token that was sent (RFC 6750 section 3.1); a client acts on these words. */
const ERRORS: Partial<Record<RefusalCode, string>> = { PORTCULLIS_INVALID_TOKEN: 'invalid_token', PORTCULLIS_INSUFFICIENT_SCOPE: 'insufficient_scope' }

/**
 * The WWW-Authenticate header of a refusal that another token would mend (RFC 6750, RFC 9728), undefined for every other: leads
 * a client to the metadata of the resource at `path`, and to the scope it has to ask for. Says `error` only when a token was
 * sent, since otherwise nothing is wrong with it. `publicUrl` is ours, never the request's.
 */
export function challenge (refusal: Refusal, publicUrl: string, path: string): string | undefined {
  const error = ERRORS[refusal.code]
  if (refusal.status !== 401 && error === undefined) return undefined
  const resource = RESOURCE.exec(path)?.[0] ?? '/mcp'
  const header = `Bearer resource_metadata="${publicUrl}${METADATA_PATH}${resource}", scope="${SCOPE}"`
  return error === undefined ? header : `${header}, error="${error}", error_description="${quotable(refusal.message)}"`
}

/** RFC 6750 allows neither quotes, backslashes nor anything beyond ASCII. */
function quotable (text: string): string {
  return text.replace(/["`\\]/g, "'").replace(/[^\x20-\x7e]/g, ' ')
}
