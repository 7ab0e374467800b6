/** A call that goes on although there is no record of it. */
export interface Unrecorded {
  readonly principal: { readonly id: string, readonly name: string }
  readonly upstream: string
  readonly tool: string
}

interface Row { readonly principal_id: string, readonly principal: string, readonly upstream: string, readonly tool: string, calls: number, since: string, until: string }

/** Who called what: so many are told apart, the others are only counted. */
const ROWS = 100
const LONGEST = 100

/**
 * What is known of the calls that went on while the ledger could not take records: how many, when, of whom and to which tool.
 * Its size is bounded however many calls there are.
 */
export class Gap {
  /** The record id it will have, whoever writes it. */
  readonly record: string
  readonly #since: string
  #until: string
  #calls = 0
  #others = 0
  readonly #rows = new Map<string, Row>()

  constructor (record: string, time: string) {
    this.record = record
    this.#since = time
    this.#until = time
  }

  get calls (): number {
    return this.#calls
  }

  add ({ principal, upstream, tool }: Unrecorded, time: string): void {
    this.#until = time
    this.#calls++
    const key = JSON.stringify([principal.id, upstream, tool])
    const row = this.#rows.get(key)
    if (row !== undefined) {
      row.calls++
      row.until = time
    } else if (this.#rows.size < ROWS) {
      this.#rows.set(key, { principal_id: cut(principal.id), principal: cut(principal.name), upstream: cut(upstream), tool: cut(tool), calls: 1, since: time, until: time })
    } else {
      this.#others++
    }
  }

  /** What its record says. */
  detail (): object {
    return { event: 'gap', since: this.#since, until: this.#until, calls: this.#calls, of: [...this.#rows.values()], ...(this.#others > 0 && { others: this.#others }) }
  }
}

function cut (text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text
}
