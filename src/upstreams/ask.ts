/** What a server of the session era may want of its client while it works on a call. */
const askMethods = new Set(['elicitation/create', 'sampling/createMessage', 'roots/list'])

export function isAskMethod (method: string): boolean {
  return askMethods.has(method)
}

/** One thing an upstream asks. It is answered or refused once; whatever is said after that goes nowhere. */
export class Ask {
  readonly method: string
  readonly params: Readonly<Record<string, unknown>>
  #reply: ((members: string) => void) | undefined
  /** Called when the upstream takes the question back. */
  withdrawn: (() => void) | undefined = undefined

  /** @param reply writes the members of a response beside `jsonrpc` and `id`, as JSON text */
  constructor (method: string, params: Readonly<Record<string, unknown>>, reply: (members: string) => void) {
    this.method = method
    this.params = params
    this.#reply = reply
  }

  /** Nobody has answered it yet, and the upstream still wants to know. */
  get open (): boolean {
    return this.#reply !== undefined
  }

  answer (result: Readonly<Record<string, unknown>>): void {
    this.#end(`"result":${JSON.stringify(result)}`)
  }

  refuse (code: number, message: string): void {
    this.#end(`"error":${JSON.stringify({ code, message })}`)
  }

  /** What an upstream is told when a person never answered. */
  abandon (): void {
    if (this.method === 'elicitation/create') this.answer({ action: 'cancel' })
    else this.refuse(-1, 'Nobody answered.')
  }

  /** The upstream does not want to know any more. */
  withdraw (): void {
    this.#reply = undefined
    this.withdrawn?.()
  }

  #end (members: string): void {
    const reply = this.#reply
    this.#reply = undefined
    reply?.(members)
  }
}
