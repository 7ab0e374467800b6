/** Who else may say who somebody is. */
export interface IdentitySpec { readonly providers: readonly ProviderSpec[], readonly issuers: readonly IssuerSpec[] }

/** Which claims say what a person is called and may do. A claim within a claim is named with dots. */
export interface ClaimMapping {
  readonly nameClaim: string
  readonly groupsClaim: string
  /** Value of the groups claim → role. */
  readonly roles: Readonly<Record<string, string>>
}

/** An OpenID Connect provider that people log in at. */
export interface ProviderSpec extends ClaimMapping {
  readonly name: string
  /** For people. */
  readonly title: string
  readonly issuer: string
  readonly clientId: string
  /** Name of the secret; undefined: a public client. */
  readonly secret: string | undefined
  readonly scopes: readonly string[]
}

/** An issuer whose access tokens are accepted for calls. */
export interface IssuerSpec extends ClaimMapping {
  readonly name: string
  /** Exactly as `iss` has it. */
  readonly issuer: string
  /** Where its public keys are. */
  readonly jwks: string
  readonly audience: string
  readonly algorithms: readonly string[]
  /** Claims that must have these values. */
  readonly require: Readonly<Record<string, string>>
}
