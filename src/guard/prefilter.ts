/**
 * A cheap question that must be answered with yes before a deny pattern can match: does the text hold one of the short
 * fixed pieces every match contains? Pieces have no repetition, so the host's regex engine answers in one pass.
 */

/** To be asked about ASCII text in lower case; other text always has to be looked at properly. */
export interface Prefilter { test (lowerCase: string): boolean }

/** One prefilter for several patterns (RE2 syntax), or undefined when one of them promises no fixed piece. */
export function prefilterOf (patterns: readonly string[]): Prefilter | undefined {
  const pieces: Piece[] = []
  for (const pattern of patterns) {
    const own = requiredPieces(pattern)
    if (own === undefined) return undefined
    pieces.push(...own)
  }
  return pieces.length === 0 ? undefined : new RegExp([...new Set(pieces.map(({ source }) => source))].join('|'))
}

/** Consecutive characters as the source of a regular expression; `strength` counts the literal ones among them. */
interface Piece { readonly source: string, readonly length: number, readonly strength: number }

/** Nobody needs more to tell texts apart, and whoever cuts a text must know how much to keep. */
export const maxPieceLength = 40

class Unknown extends Error {}

/** Pieces of which every match contains at least one. Undefined when nothing can be promised, or the syntax is not understood. */
export function requiredPieces (pattern: string): readonly Piece[] | undefined {
  try {
    const reader = new Reader(pattern)
    const pieces = reader.alternatives()
    return reader.done ? pieces : undefined
  } catch (error) {
    if (error instanceof Unknown) return undefined
    throw error
  }
}

/** A part of a pattern: a fixed piece that may continue, pieces of a group, or something that says nothing. */
interface Part { readonly piece?: Piece, readonly pieces?: readonly Piece[] | undefined, readonly zeroWidth?: boolean }

/** Escapes that mean the same, or more, to the host's engine as they do to RE2. */
const classes = 'sdw'
const boundaries = 'bB'
const controls = 'ntrfv'

class Reader {
  readonly #text: string
  #at = 0

  constructor (text: string) {
    this.#text = text
  }

  get done (): boolean {
    return this.#at === this.#text.length
  }

  alternatives (): readonly Piece[] | undefined {
    const branches = [this.#sequence()]
    while (this.#take('|')) branches.push(this.#sequence())
    return branches.every((branch) => branch !== undefined) ? branches.flat() : undefined
  }

  #sequence (): readonly Piece[] | undefined {
    const found: (readonly Piece[])[] = []
    let run = nothing
    const breakRun = (): void => {
      if (run.strength > 0) found.push([run])
      run = nothing
    }
    while (!this.done && !'|)'.includes(this.#peek())) {
      const part = this.#part()
      const repeat = this.#repetition()
      if (repeat === 'optional') { breakRun(); continue }
      if (part.piece !== undefined) run = joined(run, part.piece)
      if (part.pieces !== undefined) found.push(part.pieces)
      if ((part.piece === undefined && part.zeroWidth !== true) || repeat === 'repeated' || run.length >= maxPieceLength) breakRun()
    }
    breakRun()
    return found.toSorted((a, b) => weakest(b) - weakest(a))[0]
  }

  #part (): Part {
    const char = this.#next()
    if (char === '\\') return this.#escape()
    if (char === '(') return this.#group()
    if (char === '[') return this.#skipClass()
    if (char === '.') return {}
    if (char === '^' || char === '$') return { zeroWidth: true }
    return literal(char)
  }

  #escape (): Part {
    const char = this.#next()
    if (classes.includes(char)) return { piece: { source: `\\${char}`, length: 1, strength: 0 } }
    if (boundaries.includes(char)) return { piece: { source: `\\${char}`, length: 0, strength: 0 } }
    if (controls.includes(char)) return { piece: { source: `\\${char}`, length: 1, strength: 1 } }
    if ('DSW'.includes(char)) return {}
    if (char === 'x') return literal(this.#hexadecimal())
    if (/[A-Za-z0-9]/.test(char)) throw new Unknown()
    return literal(char)
  }

  #hexadecimal (): string {
    const code = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(this.#text.slice(this.#at, this.#at + 8))
    if (code === null) throw new Unknown()
    this.#at += code[0].length
    return String.fromCodePoint(parseInt(code[1] ?? code[2] ?? '', 16))
  }

  #group (): Part {
    const lookbehind = this.#take('?<=') || this.#take('?<!')
    if (!lookbehind && this.#take('?')) this.#groupHead()
    if (this.#previous() === ')') return { zeroWidth: true }
    const pieces = this.alternatives()
    if (!this.#take(')')) throw new Unknown()
    return lookbehind ? { zeroWidth: true } : { pieces }
  }

  /** `:`, `i:`, `i)`, `P<name>` or `<name>`. Flags change the case and the dot, and neither matters here. */
  #groupHead (): void {
    const head = /^(?:[imsU-]*[:)]|P?<\w+>)/.exec(this.#text.slice(this.#at))
    if (head === null) throw new Unknown()
    this.#at += head[0].length
  }

  #skipClass (): Part {
    this.#take('^')
    this.#take(']')
    while (!this.#take(']')) {
      if (this.#next() === '\\') this.#next()
      else if (this.#previous() === '[' && this.#peek() === ':') throw new Unknown()
    }
    return {}
  }

  #repetition (): 'optional' | 'repeated' | 'once' {
    const found = /^(?:[*+?]|\{\d+(?:,\d*)?\})/.exec(this.#text.slice(this.#at, this.#at + 12))?.[0]
    if (found === undefined) return 'once'
    this.#at += found.length
    this.#take('?')
    return found === '*' || found === '?' || /^\{0/.test(found) ? 'optional' : 'repeated'
  }

  #peek (): string {
    return this.#text.charAt(this.#at)
  }

  #previous (): string {
    return this.#text.charAt(this.#at - 1)
  }

  #next (): string {
    if (this.done) throw new Unknown()
    return this.#text.charAt(this.#at++)
  }

  #take (text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }
}

/** ASCII text cannot hold other characters, but what they fold or normalise to is not this file's business: they say nothing. */
function literal (char: string): Part {
  if (char > '\x7f') return {}
  return { piece: { source: /[\w\s]/.test(char) ? char.toLowerCase() : `\\${char}`, length: 1, strength: 1 } }
}

const nothing: Piece = { source: '', length: 0, strength: 0 }

function joined (a: Piece, b: Piece): Piece {
  return { source: a.source + b.source, length: a.length + b.length, strength: a.strength + b.strength }
}

function weakest (pieces: readonly Piece[]): number {
  return Math.min(...pieces.map(({ strength }) => strength))
}
