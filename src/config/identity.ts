import { identityDefaults } from './schema-identity.ts'
import { present } from './reading.ts'
import { secretName } from './secrets.ts'
import type { IdentitySpec, IssuerSpec, ProviderSpec } from './identity-spec.ts'
import type { Path } from './problems.ts'
import type { Surroundings } from './reading.ts'
import type { RawConfig } from './schema.ts'

type Raw = NonNullable<RawConfig['identity']>
type RawIssuer = NonNullable<Raw['issuers']>[string]
type RawProvider = NonNullable<Raw['providers']>[string]

export interface IdentitySurroundings extends Pick<Surroundings, 'report'> {
  /** Those that exist. */
  readonly roles: ReadonlySet<string>
  readonly publicUrl: string
}

/** `identity:` → who else may say who somebody is. */
export function readIdentity (raw: RawConfig['identity'], { report, roles, publicUrl }: IdentitySurroundings): IdentitySpec {
  const issuers = Object.entries(raw?.issuers ?? {}).map(([name, issuer]) => readIssuer(name, issuer))
  refuseTwins(issuers)
  const providers = Object.entries(raw?.providers ?? {}).map(([name, provider]) => readProvider(name, provider))
  return { providers, issuers }

  function readProvider (name: string, raw: RawProvider): ProviderSpec {
    const path = ['identity', 'providers', name]
    checkAddress(raw.issuer, [...path, 'issuer'])
    checkRoles(raw.roles, [...path, 'roles'])
    const scopes = raw.scopes === undefined ? identityDefaults.scopes : present(raw.scopes).map(([, scope]) => scope)
    return {
      name,
      title: raw.title ?? name,
      issuer: raw.issuer,
      clientId: raw.client_id,
      secret: raw.client_secret === undefined ? undefined : readReference(raw.client_secret, [...path, 'client_secret']),
      scopes: [...new Set(['openid', ...scopes])],
      nameClaim: raw.name ?? identityDefaults.provider_name,
      groupsClaim: raw.groups ?? identityDefaults.groups,
      roles: raw.roles,
    }
  }

  function readIssuer (name: string, raw: RawIssuer): IssuerSpec {
    const path = ['identity', 'issuers', name]
    checkAddress(raw.issuer, [...path, 'issuer'])
    checkAddress(raw.jwks, [...path, 'jwks'])
    checkRoles(raw.roles, [...path, 'roles'])
    if (raw.issuer === publicUrl) report.problem([...path, 'issuer'], 'is this gateway itself, whose tokens are known already')
    return {
      name,
      issuer: raw.issuer,
      jwks: raw.jwks,
      audience: raw.audience,
      algorithms: raw.algorithms ?? identityDefaults.algorithms,
      require: raw.require ?? {},
      nameClaim: raw.name ?? identityDefaults.issuer_name,
      groupsClaim: raw.groups ?? identityDefaults.groups,
      roles: raw.roles,
    }
  }

  /** `iss` alone tells which entry a token belongs to. */
  function refuseTwins (all: readonly IssuerSpec[]): void {
    for (const [index, { name, issuer }] of all.entries()) {
      const twin = all.slice(0, index).find((other) => other.issuer === issuer)
      if (twin !== undefined) report.problem(['identity', 'issuers', name, 'issuer'], `is the issuer of "${twin.name}" already: each issuer has one entry`)
    }
  }

  /** The gateway believes what is said there, so nobody on the way may change it. */
  function checkAddress (address: string | undefined, path: Path): void {
    if (address === undefined) return
    const url = URL.canParse(address) ? new URL(address) : undefined
    const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.test(url.hostname))
    if (url === undefined) report.problem(path, 'must be an address such as https://login.example.com')
    else if (!isSafe) report.problem(path, 'must begin with https:// (plain http only for this machine: 127.0.0.1, [::1] or localhost)')
    else if (url.username !== '' || url.hash !== '') report.problem(path, 'must not hold a user or a fragment')
  }

  /** The name of the secret. A file that is shown around must not hold the secret itself. */
  function readReference (text: string, path: Path): string {
    const name = /^\$\{secret:([^}]*)\}$/.exec(text)?.[1]
    if (name !== undefined && secretName.test(name)) return name
    // eslint-disable-next-line no-template-curly-in-string -- the form of a reference
    report.problem(path, 'must be a reference, "${secret:NAME}": the secret itself is in a file of that name')
    return ''
  }

  function checkRoles (map: Readonly<Record<string, string>> | undefined, path: Path): void {
    for (const [group, role] of Object.entries(map ?? {})) {
      if (role !== undefined && !roles.has(role)) report.problem([...path, group], `names the role "${role}", which is not among the roles (${[...roles].join(', ')})`)
    }
  }
}

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|\[::1\]|localhost)$/
