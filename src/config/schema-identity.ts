import Type from 'typebox'

import { list, mapping, record, text } from './shapes.ts'

/** Whatever is symmetric is not among them: a secret that both sides know proves nothing. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const

const NAME = '^[a-z0-9][a-z0-9-]{0,31}$'
const CLAIM = '^.{1,200}$'

/** What holds when a key is absent. */
export const identityDefaults: { readonly algorithms: readonly typeof ALGORITHMS[number][], readonly scopes: readonly string[], readonly groups: string, readonly issuer_name: string, readonly provider_name: string } = {
  algorithms: ['RS256', 'ES256'],
  scopes: ['profile', 'email'],
  groups: 'groups',
  issuer_name: 'sub',
  provider_name: 'preferred_username',
}

const groupRoles = record(CLAIM, 'a value of the groups claim, at most 200 characters', text('a role'), { minProperties: 1, description: 'Value of the groups claim → role. Who has none of these values is not let in.' })
const groups = text('the name of a claim', `The claim that says what somebody belongs to; a claim within a claim is named with dots. Default: ${identityDefaults.groups}.`)

const issuer = mapping({
  issuer: text('an address such as https://token.example.com', 'Exactly as its tokens have it in iss.'),
  jwks: text('an address such as https://token.example.com/keys', 'Where its public keys are.'),
  audience: text('text', 'What its tokens for this gateway have in aud.'),
  roles: groupRoles,
}, {
  groups,
  name: text('the name of a claim', `The claim that gives a new user their name. Default: ${identityDefaults.issuer_name}.`),
  algorithms: list(Type.Enum([...ALGORITHMS], { title: `one of ${ALGORITHMS.join(', ')}` }), { minItems: 1, description: `How its tokens may be signed. Default: ${identityDefaults.algorithms.join(' and ')}.` }),
  require: record(CLAIM, 'the name of a claim', text('text'), { description: 'Claims that must have this value, for example azp or tid. A list must hold it; scope and scp count as lists.' }),
}, 'a mapping with issuer, jwks, audience and roles')

const provider = mapping({
  issuer: text('an address such as https://login.example.com', 'Exactly as the provider writes it in its metadata.'),
  client_id: text('text', 'What the provider calls this gateway.'),
  roles: groupRoles,
}, {
  client_secret: text('a reference such as "${secret:NAME}"', 'Where the secret is, never the secret itself. Absent: a public client.'), // eslint-disable-line no-template-curly-in-string -- the form of a reference
  title: text('text', 'What the button on the login page says behind "Log in with". Default: the name of the entry.'),
  scopes: list(text('a scope'), { description: `What is asked of the provider beside openid. Default: ${identityDefaults.scopes.join(' and ')}.` }),
  groups,
  name: text('the name of a claim', `The claim that gives a new user their name. Default: ${identityDefaults.provider_name}.`),
}, 'a mapping with issuer, client_id and roles')

/** `identity:` as it stands in upstreams.yaml. */
export const identitySchema = mapping({}, {
  providers: record(NAME, 'a provider name (lower-case letters, digits and hyphens, at most 32)', provider, { description: 'OpenID Connect providers that people can log in at.' }),
  issuers: record(NAME, 'an issuer name (lower-case letters, digits and hyphens, at most 32)', issuer, { description: 'Issuers whose access tokens are accepted for calls.' }),
}, 'a mapping with providers and issuers')
