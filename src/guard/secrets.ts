import { isPath, landmark } from './paths.ts'

/** What a secret looks like: names of members that hold one, and shapes of texts that are one. */

export const redacted = '[redacted]'

export interface Secrets {
  /** Is the value of a member of this name to be hidden? A flag is no secret, and neither is a number of tokens. */
  hides (name: string, value: unknown): boolean
  /** May this JSON text hold anything to hide? A no is certain, a yes is a reason to look closely. */
  suspects (json: string): boolean
}

const separator = '[-_. ]?'
const names = ['password', 'passwd', 'passphrase', 'pwd', 'secret', 'token', 'authorization', 'cookie', 'credential', 'apikey', 'privatekey', 'accesskey']
  .map((name) => name.replace(/(?=key$)/, separator))

const compiled = new WeakMap<readonly string[], Secrets>()

/** The built-in names and `extra` ones from the configuration: anywhere in a name, in any case, with any separators. Paths among them only raise suspicion here. */
export function secretsWith (extra: readonly string[]): Secrets {
  const known = compiled.get(extra)
  if (known !== undefined) return known
  const name = [...names, ...extra.filter((text) => !isPath(text)).map(anySpelling)].filter((source) => source !== '').join('|')
  const landmarks = extra.filter(isPath).map(landmark)
  const sensitive = new RegExp(name, 'i')
  // On text in lower case this is three times as fast as ignoring the case.
  const suspicious = new RegExp(`${name}|${beginnings}`)
  const secrets: Secrets = {
    hides: (member, value) => typeof value !== 'boolean' && value !== null && sensitive.test(member) && !(typeof value === 'number' && /tokens/i.test(member)),
    suspects (json) {
      const text = json.toLowerCase()
      return suspicious.test(text) || landmarks.some((landmark) => text.includes(landmark))
    },
  }
  compiled.set(extra, secrets)
  return secrets
}

/** `sessionId`, `session-id` and `session_id` are one name. */
function anySpelling (name: string): string {
  return name.replace(/([a-z0-9])(?=[A-Z])/g, '$1 ').toLowerCase().split(/[^a-z0-9]+/).filter(Boolean).join(separator)
}

/** Something every shape below contains, in lower case; the last one shares the sensitive names. */
const beginnings = 'private key|\\b(?:bearer|basic) |portcullis_pat_|\\bgh[pousr]_|github_pat_|glpat-|\\bxox[a-z]-|\\b(?:akia|asia)|\\b[sr]k[-_]|aiza|npm_|\\beyj|:\\/\\/[^/\\s]{1,300}@'

/**
 * Shapes of well-known credentials, and what stays of them. No repetition is followed by anything it could hand characters
 * back to, so no text makes them slow; what begins like a secret is hidden to its end, wherever the text was cut.
 */
const shapes: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY[^]*/g, redacted],
  [/\b(bearer|basic) [\w.~+/=-]{8,}/gi, `$1 ${redacted}`],
  [/\bportcullis_pat_\w+/g, redacted],
  [/\bgh[pousr]_\w{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}/g, redacted],
  [/\bxox[a-z]-[\w-]{8,}/g, redacted],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{12,}/g, redacted],
  [/\b[sr]k[-_][\w-]{16,}|\bAIza[\w-]{30,}|\bnpm_\w{30,}/g, redacted],
  [/\beyJ[\w.-]{16,}/g, redacted],
  [/\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^\s/?#@]{1,300}@/gi, `$1${redacted}@`],
  [/((?:password|passwd|secret|token|api_?key|access_?key)["']?\s?[=:]\s?["']?)[^\s&"',;]{3,}/gi, `$1${redacted}`],
]

/** The text without the credentials in it. */
export function maskSecrets (text: string): string {
  return shapes.reduce((masked, [pattern, replacement]) => masked.replace(pattern, replacement), text)
}
