import type Provider from 'oidc-provider'

import { readAudience } from '../../src/identity/audience.ts'
import { cleanName, isNative } from '../../src/oauth/client-rules.ts'
import { resourcesOf } from './grant.ts'
import type { Details } from './interaction.ts'
import type { ConsentPage } from './pages.ts'

export interface AskingClient {
  readonly id: string
  readonly name: string
  /** Host whose document describes it. */
  readonly host: string | undefined
  readonly redirect: string
}

/** The program that asks, in words that it cannot choose altogether. */
export async function describeClient (provider: Provider, details: Details): Promise<AskingClient> {
  const id = String(details.params['client_id'])
  const client = await provider.Client.find(id)
  const name = cleanName(client?.clientName ?? '')
  return {
    id,
    name: name === '' ? 'A program without a name' : name,
    host: URL.canParse(id) && id.startsWith('https://') ? new URL(id).host : undefined,
    redirect: String(details.params['redirect_uri'] ?? ''),
  }
}

/** What the consent page says, form aside. */
export function consentPage (client: AskingClient, details: Details, publicUrl: string, user: string, reachable: readonly string[]): Omit<ConsentPage, 'action' | 'csrf' | 'canSwitch'> {
  return { client: client.name, host: client.host, destination: destination(client.redirect), user, rights: rights(details, publicUrl, reachable) }
}

function rights (details: Details, publicUrl: string, reachable: readonly string[]): string[] {
  const named = resourcesOf(details).map((resource) => readAudience(publicUrl, resource)?.upstream)
  // With a token for one upstream, the others do not matter; what the person may not reach is not named.
  const only = named.length > 0 && !named.includes(undefined) ? reachable.filter((upstream) => named.includes(upstream)) : reachable
  return [
    only.length === 0 ? 'Call tools as you, as far as your rights go' : `Call tools as you, as far as your rights go: ${only.join(', ')}`,
    'Stay connected until you log it out, at most 90 days',
  ]
}

function destination (redirect: string): string {
  if (redirect === '') return 'Your device'
  const { protocol, host } = new URL(redirect)
  if (!isNative(redirect)) return host
  return protocol === 'http:' ? `A program on this computer (${host})` : `An app on this computer (${protocol})`
}
