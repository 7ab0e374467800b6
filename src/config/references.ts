/* eslint-disable no-template-curly-in-string -- "${…}" is what this file is about */
import { Refusal } from '../errors.ts'
import { ownSecrets } from './environment.ts'
import { didYouMean } from './nearest.ts'
import { secretName, userName } from './secrets.ts'

/** One `${…}` in a text. `literal` stands for the escape `$${`. */
export interface Reference { readonly kind: 'literal' | 'env' | 'secret' | 'user' | 'unknown', readonly name: string, readonly offset: number }

/** Who is meant by `${user.…}`, and where secrets come from. */
export interface Surrounding {
  readonly user: { readonly id: string, readonly name: string }
  readonly secret: (name: string) => string | undefined
}

const forms = '${secret:NAME}, ${env:NAME}, ${user.name} and ${user.id}; write $${ for a plain ${'
const syntax = /\$\$\{|\$\{([^}]*)(\}?)/g

/** All references of a text, in order. */
export function references (text: string): readonly Reference[] {
  return Array.from(text.matchAll(syntax), (match) => ({ ...classify(match), offset: match.index }))
}

/** What is wrong with a reference as it is written, or undefined. */
export function referenceProblem (reference: Reference): string | undefined {
  const { kind, name } = reference
  if (kind === 'unknown') return `unknown reference "\${${name}}"${guess(name)} The forms are ${forms}`
  if (kind === 'env' && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) return `"\${env:${name}}" does not name an environment variable (letters, digits and _)`
  if (kind === 'env' && (ownSecrets.has(name) || name.startsWith('PORTCULLIS_'))) return `"\${env:${name}}" would hand a credential of the gateway to a server: give the server one of its own`
  if (kind === 'secret' && !secretName.test(name)) return `"\${secret:${name}}" does not name a secret (letters, digits, _, - and ., not beginning with . or -)`
  return undefined
}

/** Replaces `${env:NAME}`; everything else stays for spawn time. A value can never become a reference itself. */
export function resolveEnvironment (text: string, env: NodeJS.ProcessEnv, missing: (message: string, offset: number) => void): string {
  return text.replaceAll(syntax, (whole: string, inner: string | undefined, _close: string, offset: number) => {
    if (inner === undefined || !inner.startsWith('env:')) return whole
    const name = inner.slice(4)
    const value = env[name]
    if (value === undefined) missing(`the environment variable ${name} is not set${didYouMean(name, Object.keys(env))}`, offset)
    // A "$" at the end of the value would turn a reference right behind it into the escape "$${".
    if (value?.endsWith('$') === true && text.startsWith('${', offset + whole.length)) missing(`the value of ${name} ends with "$": put something between it and the next reference`, offset)
    if (value?.includes('\0') === true) missing(`the value of ${name} contains a NUL character`, offset)
    return (value ?? '').replaceAll('${', () => '$${')
  })
}

/**
 * Replaces `${secret:NAME}` and `${user.name|id}` for one principal, when its server starts.
 * Throws PORTCULLIS_UPSTREAM_UNAVAILABLE when a secret does not exist or a user name could be read as a path or an option.
 */
export function resolveReferences (text: string, { user, secret }: Surrounding): string {
  return text.replaceAll(syntax, (whole: string, inner: string | undefined) => {
    if (inner === undefined) return '${'
    if (inner.startsWith('secret:')) return secret(inner.slice(7)) ?? unavailable(`It needs the secret "${inner.slice(7)}", which nobody has stored for you.`)
    if (inner === 'user.id') return user.id
    if (inner === 'user.name') return userName.test(user.name) ? user.name : unavailable('Your user name holds characters that cannot be passed to it.')
    return unavailable('Its configuration holds a reference that cannot be resolved.', whole)
  })
}

function unavailable (reason: string, cause?: string): never {
  throw new Refusal('PORTCULLIS_UPSTREAM_UNAVAILABLE', { message: `The upstream cannot start. ${reason}`, cause })
}

function classify (match: RegExpMatchArray): Pick<Reference, 'kind' | 'name'> {
  const [, inner, close] = match
  if (inner === undefined) return { kind: 'literal', name: '' }
  if (close === '') return { kind: 'unknown', name: inner.slice(0, 40) }
  if (inner === 'user.name' || inner === 'user.id') return { kind: 'user', name: inner.slice(5) }
  const kind = inner.startsWith('env:') ? 'env' : inner.startsWith('secret:') ? 'secret' : 'unknown'
  return { kind, name: kind === 'unknown' ? inner : inner.slice(kind.length + 1) }
}

function guess (name: string): string {
  if (/^[A-Z_][A-Z0-9_]*$/.test(name)) return ` – did you mean "\${env:${name}}"?`
  return didYouMean(name.replace(/:.*/, ''), ['user.name', 'user.id', 'secret', 'env']) || '.'
}
