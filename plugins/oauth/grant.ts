import type Provider from 'oidc-provider'

import { SCOPE } from '../../src/identity/challenge.ts'
import type { Details } from './interaction.ts'

/** Writes down what the person allowed, and returns its id. A grant of its own each time: one that is revoked ends nothing else. */
export async function grantOf (provider: Provider, details: Details): Promise<string> {
  const grant = new provider.Grant({ accountId: details.session?.accountId, clientId: String(details.params['client_id']) })
  const asked = String(details.params['scope'] ?? '').split(' ')
  grant.addOIDCScope(asked.filter((scope) => scope === 'openid' || scope === 'offline_access').join(' '))
  for (const resource of resourcesOf(details)) grant.addResourceScope(resource, SCOPE)
  return await grant.save()
}

/** What the client wants a token for (RFC 8707). */
export function resourcesOf (details: Details): string[] {
  const { resource } = details.params
  return (Array.isArray(resource) ? resource : [resource]).filter((text): text is string => typeof text === 'string')
}
