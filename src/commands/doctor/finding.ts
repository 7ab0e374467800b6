/** What was found about one part. `text` and `remedy` are for the operator, a sentence or two each. */
export interface Finding {
  readonly part: string
  readonly state: 'ok' | 'warning' | 'failed'
  readonly text: string
  /** What to do about it. */
  readonly remedy?: string
  /** Who says so: this command looked by itself, or the running gateway was asked. */
  readonly by: 'doctor' | 'gateway'
}

type More = Partial<Pick<Finding, 'remedy' | 'by'>>

export function ok (part: string, text: string, more: More = {}): Finding {
  return { part, state: 'ok', text, by: 'doctor', ...more }
}

export function warning (part: string, text: string, remedy?: string, more: More = {}): Finding {
  return { part, state: 'warning', text, by: 'doctor', ...(remedy === undefined ? {} : { remedy }), ...more }
}

export function failed (part: string, text: string, remedy?: string, more: More = {}): Finding {
  return { part, state: 'failed', text, by: 'doctor', ...(remedy === undefined ? {} : { remedy }), ...more }
}

/** A look that throws is a failed one. */
export async function guarded (part: string, look: () => Finding[] | Promise<Finding[]>, remedy?: string): Promise<Finding[]> {
  try {
    return await look()
  } catch (error) {
    return [failed(part, error instanceof Error ? error.message : String(error), remedy)]
  }
}

/** Milliseconds, as a person says it. */
export function ago (ms: number): string {
  const [unit, size] = ([['days', 86_400_000], ['hours', 3_600_000], ['minutes', 60_000]] as const).find(([, size]) => ms >= 2 * size) ?? ['seconds', 1000]
  return `${Math.round(ms / size)} ${unit}`
}

export function mebibytes (bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`
}

/** `1 warning`, `2 warnings`. */
export function counted (count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`
}
