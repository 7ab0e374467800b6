import { randomBytes } from 'node:crypto'

import { findArtifact, putArtifact, takeArtifact } from '../../db/oauth-artifacts.ts'
import type { ProviderSpec } from '../config/identity-spec.ts'
import { Refusal } from '../errors.ts'
import type { Log } from '../log.ts'
import { isOverfull, nameIn, rolesOf } from './claim-mapping.ts'
import { admit } from './outsiders.ts'
import type { OutsiderDeps, Vouched } from './outsiders.ts'
import { hashToken } from './personal-token.ts'
import { openProviderClient } from './provider-client.ts'
import type { Proofs, ProviderClient } from './provider-client.ts'
import { reach } from './store.ts'

/** Logins at the company's OpenID Connect providers. */
export interface Federation {
  /** In the order of the configuration. */
  readonly providers: readonly Pick<ProviderSpec, 'name' | 'title'>[]
  /** Where the browser has to go to log in. Refuses (404) an unknown provider, (503) one that cannot be reached. */
  begin (provider: string, journey: Journey): Promise<string>
  /** The page that waits for this answer; undefined when none does, or not any more. */
  waitingFor (provider: string, answer: URLSearchParams): Promise<string | undefined>
  /** Who logged in. Refuses (403) an answer that is not good, was used before, or came to another browser, and people who may not come in. */
  complete (provider: string, answer: URLSearchParams, at: { readonly browser: string, readonly source: string }): Promise<{ readonly id: string, readonly name: string }>
}

export interface Journey {
  /** What only the browser that sets out can show when it comes back. */
  readonly browser: string
  /** Path of the page that completes the login. */
  readonly page: string
}

export interface FederationDeps extends OutsiderDeps {
  readonly specs: readonly ProviderSpec[]
  readonly publicUrl: string
  readonly secret: (name: string) => string | undefined
  readonly log: Pick<Log, 'warn'>
  /** Something about this user changed. */
  readonly changed: (userId: string) => void
}

/** One that is on its way. */
type Pending = Proofs & Journey & { readonly provider: string }

interface Provider { readonly spec: ProviderSpec, readonly client: ProviderClient }

const KIND = 'FederatedLogin'
/** Milliseconds that somebody may take at the provider. */
const PATIENCE = 600_000

export function openFederation (deps: FederationDeps): Federation {
  const { db, now, audit, log, specs, publicUrl, secret, changed } = deps
  const providers = new Map<string, Provider>(specs.map((spec) => [spec.name, { spec, client: openProviderClient({ spec, callback: `${publicUrl}/login/${spec.name}/callback`, secret, now }) }]))

  async function begin (name: string, journey: Journey): Promise<string> {
    const provider = providers.get(name)
    if (provider === undefined) throw new Refusal('PORTCULLIS_NOT_FOUND')
    const proofs = { state: random(), nonce: random(), verifier: random() }
    const url = await provider.client.authorizationUrl(proofs).catch((error: unknown) => {
      log.warn({ err: error, provider: name }, 'a provider that people log in at cannot be used')
      throw new Refusal('PORTCULLIS_ISSUER_UNAVAILABLE', { message: `The login at ${provider.spec.title} cannot be reached just now. Try again shortly.`, headers: { 'retry-after': '5' } })
    })
    const pending: Pending = { ...proofs, ...journey, provider: name }
    await reach(async () => await putArtifact(db, { kind: KIND, id: idOf(proofs.state), payload: { ...pending }, grantId: null, userCode: null, uid: null, clientId: null, accountId: null, expiresAt: new Date(now() + PATIENCE) }))
    return url
  }

  async function find (name: string, answer: URLSearchParams): Promise<Pending | undefined> {
    const row = await reach(async () => await findArtifact(db, KIND, { id: idOf(answer.get('state') ?? '') }))
    const pending = row?.payload as Pending | undefined
    return pending?.provider === name ? pending : undefined
  }

  async function complete (name: string, answer: URLSearchParams, { browser, source }: { readonly browser: string, readonly source: string }): Promise<{ id: string, name: string }> {
    const provider = providers.get(name)
    const pending = await find(name, answer)
    if (provider === undefined || pending?.browser !== browser) throw refuse('not expected', 'This login has expired, was used before, or began in another browser. Begin again.')
    // Of many that bring the same answer at once, one goes on.
    const taken = await reach(async () => await takeArtifact(db, KIND, idOf(pending.state), new Date(now())))
    if (taken === undefined) throw refuse('used before', 'This login has expired or was used before. Begin again.')
    const { spec, client } = provider
    if (answer.get('error') === 'access_denied') throw refuse('declined', `You were not logged in at ${spec.title}. Try again, or log in another way.`)
    const vouched = await client.redeem(answer, pending).then((facts) => understand(facts, spec), (error: unknown) => {
      log.warn({ err: error, provider: name }, 'a login at a provider could not be verified')
      throw refuse('not verified', `What ${spec.title} said about this login could not be verified. Try again.`)
    })
    const user = await admit(deps, vouched, { keep: true, source })
    if (user !== undefined) changed(user.id)
    const person = user === undefined ? undefined : { id: user.id, name: user.username }
    if (vouched.roles.length === 0) throw refuse(vouched.problem, `You are known at ${spec.title}, but none of your groups there may use this gateway. Ask the administrator.`, person)
    if (user === undefined || person === undefined) throw refuse('no name is free', 'No user could be made for you. Ask the administrator.')
    if (user.disabled) throw refuse('disabled', 'Your account here is disabled. Ask the administrator.', person)
    audit({ kind: 'login', principal: person, source, outcome: 'ok', detail: { via: name } })
    return person

    function refuse (reason: string, message: string, principal?: { readonly id: string, readonly name: string }): Refusal {
      audit({ kind: 'login', ...(principal !== undefined && { principal }), source, outcome: 'failed', code: 'PORTCULLIS_LOGIN_REFUSED', detail: { via: provider?.spec.name ?? 'unknown', reason } })
      return new Refusal('PORTCULLIS_LOGIN_REFUSED', { message })
    }
  }

  return {
    providers: specs,
    begin,
    complete,
    waitingFor: async (name, answer) => (await find(name, answer))?.page,
  }
}

function understand (facts: Readonly<Record<string, unknown>>, spec: ProviderSpec): Vouched & { readonly problem: string } {
  const roles = rolesOf(facts, spec)
  return {
    via: spec.name,
    issuer: spec.issuer,
    subject: String(facts['sub']),
    name: nameIn(facts, spec),
    roles,
    problem: isOverfull(facts, spec) ? 'too many groups to be sent' : 'no group with a role',
  }
}

function random (): string {
  return randomBytes(32).toString('base64url')
}

function idOf (state: string): string {
  return hashToken(state).toString('base64url')
}
