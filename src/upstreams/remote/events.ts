import { StringDecoder } from 'node:string_decoder'

/** One server-sent event: its type, its id, and its data lines joined. */
export interface ServerEvent { readonly type: string, readonly id: string | undefined, readonly data: string }

/**
 * Cuts an event stream into events (HTML standard, server-sent events). What is longer than `cap` characters is too
 * long for the rest to be trusted: reading it throws.
 */
export class EventReader {
  readonly #decoder = new StringDecoder('utf8')
  readonly #cap: number
  readonly #onEvent: (event: ServerEvent) => void
  #rest = ''
  #data: string[] = []
  #length = 0
  #type = 'message'
  #id: string | undefined
  #retryMs: number | undefined

  constructor (cap: number, onEvent: (event: ServerEvent) => void) {
    this.#cap = cap
    this.#onEvent = onEvent
  }

  /** After how many milliseconds the stream wants to be opened again when it ends, as far as it said. */
  get retryMs (): number | undefined {
    return this.#retryMs
  }

  push (chunk: Buffer): void {
    const text = this.#rest + this.#decoder.write(chunk)
    // A carriage return at the very end may be half a line break.
    const end = text.endsWith('\r') ? text.length - 1 : text.length
    const lines = text.slice(0, end).split(/\r\n|\n|\r/)
    this.#rest = (lines.pop() ?? '') + text.slice(end)
    if (this.#rest.length > this.#cap) throw new Error('an event of the stream is too long')
    for (const line of lines) this.#line(line)
  }

  #line (line: string): void {
    if (line === '') return this.#dispatch()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.#type = value
    else if (field === 'id') this.#id = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) this.#retryMs = Number(value)
    else if (field === 'data') {
      this.#length += value.length
      if (this.#length > this.#cap) throw new Error('an event of the stream is too long')
      this.#data.push(value)
    }
  }

  #dispatch (): void {
    const event = { type: this.#type, id: this.#id, data: this.#data.join('\n') }
    const isEmpty = this.#data.length === 0
    this.#type = 'message'
    this.#data = []
    this.#length = 0
    if (!isEmpty) this.#onEvent(event)
  }
}
