import type { AuditSpec } from '../config/config.ts'
import { digest, maxText, maxTotal, redact } from './redact.ts'
import { secretsWith } from './secrets.ts'

export interface RecordedArguments {
  /** JSON text; undefined when the mode keeps none. */
  readonly text: string | undefined
  /** Of the arguments as they were, so that an auditor who has them can prove it. */
  readonly digest: (() => string) | undefined
}

const nothing: RecordedArguments = { text: undefined, digest: undefined }

/** What the record keeps of a call's arguments, as `audit.arguments` says. `keys` are names to hide beside the built-in ones, `json` the text they were sent as where it matters. */
export function recordArguments (args: unknown, mode: AuditSpec['arguments'], keys: readonly string[], json = JSON.stringify(args)): RecordedArguments {
  if (mode === 'none' || args === undefined) return nothing
  const sum = (): string => digest(json)
  if (mode === 'digest') return { text: undefined, digest: sum }
  if (mode === 'full') return { text: json, digest: sum }
  return { text: isHarmless(json, keys) ? json : bounded(redact(args, keys)), digest: sum }
}

/** Characters that JSON writes as six would let a record grow far beyond its bound: then they are blanked. */
function bounded (kept: unknown): string {
  const text = JSON.stringify(kept)
  if (text.length <= 2 * maxTotal) return text
  const plain = text.replaceAll(/\\u[0-9a-f]{4}/g, ' ')
  return plain.length <= 2 * maxTotal ? plain : JSON.stringify('[too large to be recorded]')
}

/** Most arguments are short and hold nothing that could be a secret: no copy is made of them. An escape may spell a name that is to be hidden. */
function isHarmless (json: string, keys: readonly string[]): boolean {
  return !json.includes('\\u') && json.length <= Math.min(maxText, maxTotal) && !secretsWith(keys).suspects(json)
}
