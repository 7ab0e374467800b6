import { createHash } from 'node:crypto'
import { lookAlikes } from './look-alike.ts'

/** Separates upstream and name on the aggregated endpoint. Upstream names cannot contain it, so splitting is unique. */
const separator = '__'
/** Characters of a name that models' interfaces take. */
const maxName = 64
/** Hexadecimal digits that end a shortened name. */
const digits = 10
const shortened = new RegExp(`_[0-9a-f]{${digits}}$`)

/** How the tools or prompts of one upstream are called on the aggregated endpoint. */
export interface PublicNames {
  /** Public name → the upstream's own. */
  readonly own: ReadonlyMap<string, string>
  /** Own names that are not offered, since they look like another one → that other one. */
  readonly refused: ReadonlyMap<string, string>
}

/**
 * `files` + `read_file` → `files__read_file`. What is longer than 64 characters ends in a digest of the whole instead,
 * so that the same tool has the same name everywhere and always.
 */
export function qualify (upstream: string, name: string): string {
  const whole = upstream + separator + name
  if (whole.length <= maxName) return whole
  const kept = whole.slice(0, maxName - digits - 1).replace(/[\ud800-\udbff]$/, '')
  return `${kept}_${createHash('sha256').update(whole).digest('hex').slice(0, digits)}`
}

/** `files__read_file` → its parts; undefined when there is no upstream in the name. */
export function split (qualified: string): { upstream: string, name: string } | undefined {
  const at = qualified.indexOf(separator)
  if (at <= 0 || at + separator.length === qualified.length) return undefined
  return { upstream: qualified.slice(0, at), name: qualified.slice(at + separator.length) }
}

/** Could it be a shortened name, which only the upstream's own list leads back from? */
export function isShortened (qualified: string): boolean {
  return qualified.length >= maxName - 1 && qualified.length <= maxName && shortened.test(qualified)
}

/** The public names of one upstream's tools or prompts, in the order it lists them: of two that look alike the first is offered. */
export function publicNames (upstream: string, names: Iterable<string>): PublicNames {
  const unique = [...new Set(names)]
  const refused = new Map(lookAlikes(unique))
  const own = new Map<string, string>()
  for (const name of unique) {
    if (refused.has(name)) continue
    const shown = qualify(upstream, name)
    const other = own.get(shown)
    if (other === undefined) own.set(shown, name)
    else refused.set(name, other)
  }
  return { own, refused }
}
