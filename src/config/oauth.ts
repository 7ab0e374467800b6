import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

import { present } from './reading.ts'
import { defaults } from './schema.ts'
import type { RawConfig } from './schema.ts'
import type { OAuthSpec } from './config.ts'
import type { Surroundings } from './reading.ts'

/** `oauth:` → how clients may introduce themselves. */
export function readOAuth (raw: RawConfig['oauth'], { directory, report }: Surroundings): OAuthSpec {
  const pinned: Record<string, string> = {}
  for (const [index, file] of present(raw?.pinned_documents)) {
    const document = readDocument(resolve(directory, file))
    if ('problem' in document) report.problem(['oauth', 'pinned_documents', index], document.problem)
    else pinned[document.id] = document.text
  }
  const clientDocuments = raw?.client_documents ?? defaults.oauth.client_documents
  if (clientDocuments === 'off' && Object.keys(pinned).length > 0) report.problem(['oauth', 'pinned_documents'], 'has no effect while client_documents is off: say `client_documents: pinned`')
  return { registration: raw?.registration ?? defaults.oauth.registration, clientDocuments, pinned }
}

function readDocument (file: string): { readonly id: string, readonly text: string } | { readonly problem: string } {
  try {
    const text = readFileSync(file, 'utf8')
    const parsed = JSON.parse(text) as { client_id?: unknown } | null
    const id = parsed?.client_id
    return typeof id === 'string' && id.startsWith('https://') ? { id, text } : { problem: `${file} must be a JSON object whose client_id is the https address of the document` }
  } catch (error) {
    return { problem: `${file} cannot be used: ${error instanceof Error ? error.message : String(error)}` }
  }
}
