import type { Target } from '../call.ts'
import type { AuditSpec, PayloadSpec } from '../config/config.ts'
import { digest, redact } from '../guard/redact.ts'
import { compilePattern, matchesTarget } from '../policy/pattern.ts'
import type { PayloadKey, PayloadKeys } from './payload-keys.ts'
import { sealPayload } from './sealed.ts'
import type { Part } from './sealed.ts'

/** What a record has of a payload. */
export interface Kept {
  readonly digest: string
  readonly sealed: string | undefined
}

/** What is kept of one call's payloads. */
export interface Capture {
  /** `value` as its JSON text `json` says it. */
  arguments (value: unknown, json?: string): Kept
  /** The JSON text of a result. Kept for the outcome record. */
  result (json: string): void
  readonly outcome: Kept | undefined
}

export interface Captures {
  /** What is kept of a call to this target; undefined: nothing. Rejects when the user's key is not to be had. */
  begin (target: Target | undefined, record: string, userId: string): Capture | Promise<Capture> | undefined
}

/** Decides by `audit.payloads` what is kept of a call, and seals it. */
export function createCaptures ({ payloads, redact: names }: Pick<AuditSpec, 'payloads' | 'redact'>, keys: Pick<PayloadKeys, 'of'>): Captures {
  const rules = payloads.map(spec => ({ spec, pattern: spec.tool === undefined ? undefined : compilePattern(spec.tool) }))
  return {
    begin (target, record, userId) {
      if (target === undefined || rules.length === 0) return undefined
      const spec = rules.find(({ pattern }) => pattern === undefined || matchesTarget(pattern, target.upstream, target.name))?.spec
      if (spec === undefined || spec.keep === 'none') return undefined
      if (spec.keep === 'digest') return new Capturing(spec, names, record, undefined)
      const key = keys.of(userId)
      return key instanceof Promise ? key.then(found => new Capturing(spec, names, record, found)) : new Capturing(spec, names, record, key)
    },
  }
}

class Capturing implements Capture {
  readonly #spec: PayloadSpec
  readonly #names: readonly string[]
  readonly #record: string
  readonly #key: PayloadKey | undefined
  #outcome: Kept | undefined = undefined

  constructor (spec: PayloadSpec, names: readonly string[], record: string, key: PayloadKey | undefined) {
    this.#spec = spec
    this.#names = names
    this.#record = record
    this.#key = key
  }

  get outcome (): Kept | undefined {
    return this.#outcome
  }

  arguments (value: unknown, json: string = JSON.stringify(value)): Kept {
    return this.#keep('arguments', json, () => value)
  }

  result (json: string): void {
    this.#outcome = this.#keep('result', json, () => JSON.parse(json) as unknown)
  }

  #keep (part: Part, json: string, value: () => unknown): Kept {
    const { keep, max } = this.#spec
    if (this.#key === undefined) return { digest: digest(json), sealed: undefined }
    const text = keep === 'full' ? json : JSON.stringify(redact(value(), this.#names, { text: max, total: max }))
    return { digest: digest(json), sealed: sealPayload(this.#key, this.#record, part, cut(text, max)) }
  }
}

/** At most `max` bytes of it, and then how many there were. */
function cut (text: string, max: number): string {
  const bytes = Buffer.byteLength(text)
  return bytes <= max ? text : `${Buffer.from(text).subarray(0, max).toString()}[… ${bytes} bytes]`
}
