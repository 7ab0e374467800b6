import type { RefusalCode } from '../errors.ts'

/** One thing that happened to an identity or a credential, for the record. Holds no secret and no unknown user name. */
export interface IdentityEvent {
  readonly kind: 'login' | 'logout' | 'token' | 'user'
  /** Who did it, as far as that is proven; for a failed login the existing user whose name was given. */
  readonly principal?: { readonly id: string, readonly name: string }
  /** Address the request came from, or `cli`. */
  readonly source?: string
  readonly outcome: 'ok' | 'failed' | 'limited' | 'reused'
  readonly code?: RefusalCode
  readonly detail?: Readonly<Record<string, unknown>>
}

/**
 * Takes an event into the record and returns its record id, if it has one. Called before the effect is handed out, so
 * when it throws, nothing is.
 */
export type Audit = (event: IdentityEvent) => string | void
