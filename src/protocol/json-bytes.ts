// Looking at JSON as bytes, for what is too large to be decoded first.

/** An object that was read: the index behind it, and for each of its own members where the value lies. */
export interface Outline {
  readonly end: number
  readonly members: ReadonlyMap<string, readonly [from: number, to: number]>
}

/** Levels that are followed; what is nested more deeply is left to JSON.parse. */
const maxDepth = 256

/** Bytes that a string may hold as they are: no control characters, no quote, no backslash. */
const plain = Uint8Array.from({ length: 256 }, (_, byte) => byte >= 32 && byte !== 34 && byte !== 92 ? 1 : 0)
const escapes = among('"\\/bfnrt')
const hex = among('0123456789abcdefABCDEF')
/** By their first byte. */
const literals: Readonly<Record<number, string>> = { 116: 'true', 102: 'false', 110: 'null' }

/**
 * Checks that a JSON object (RFC 8259) starts at `start`, without decoding it. `bytes` must be valid UTF-8.
 * @returns undefined when there is none, when it is nested too deeply, or when the name of a member is written with escapes
 */
export function outline (bytes: Buffer, start: number): Outline | undefined {
  const reader = new Reader(bytes, start)
  const members = new Map<string, readonly [number, number]>()
  return reader.object(1, members) ? { end: reader.at, members } : undefined
}

function among (characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) table[byte] = 1
  return table
}

/** Every method reads one thing at `at` and is false where it is not there. */
class Reader {
  readonly #bytes: Buffer
  at: number

  constructor (bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  object (depth: number, members?: Map<string, readonly [number, number]>): boolean {
    if (depth > maxDepth || !this.#take(123)) return false
    this.#space()
    if (this.#take(125)) return true
    do {
      this.#space()
      const from = this.at
      if (!this.#string()) return false
      const name = members === undefined ? '' : this.#bytes.toString('utf8', from + 1, this.at - 1)
      if (name.includes('\\')) return false
      this.#space()
      if (!this.#take(58)) return false
      this.#space()
      const value = this.at
      if (!this.#value(depth)) return false
      members?.set(name, [value, this.at])
      this.#space()
    } while (this.#take(44))
    return this.#take(125)
  }

  #array (depth: number): boolean {
    if (depth > maxDepth || !this.#take(91)) return false
    this.#space()
    if (this.#take(93)) return true
    do {
      this.#space()
      if (!this.#value(depth)) return false
      this.#space()
    } while (this.#take(44))
    return this.#take(93)
  }

  #value (depth: number): boolean {
    const first = this.#bytes[this.at]
    if (first === 34) return this.#string()
    if (first === 123) return this.object(depth + 1)
    if (first === 91) return this.#array(depth + 1)
    const literal = literals[first ?? 0]
    return literal === undefined ? this.#number() : this.#literal(literal)
  }

  #string (): boolean {
    if (!this.#take(34)) return false
    const bytes = this.#bytes
    for (;;) {
      while (plain[bytes[this.at] ?? 0] === 1) this.at++
      if (this.#take(34)) return true
      if (!this.#take(92) || !this.#escape()) return false
    }
  }

  #escape (): boolean {
    const kind = this.#bytes[this.at++] ?? 0
    if (escapes[kind] === 1) return true
    if (kind !== 117) return false
    const end = this.at + 4
    while (this.at < end && hex[this.#bytes[this.at] ?? 0] === 1) this.at++
    return this.at === end
  }

  #literal (literal: string): boolean {
    const from = this.at
    this.at += literal.length
    return this.#bytes.toString('latin1', from, this.at) === literal
  }

  #number (): boolean {
    this.#take(45)
    if (!this.#take(48) && !this.#digits()) return false
    if (this.#take(46) && !this.#digits()) return false
    if (!this.#take(101) && !this.#take(69)) return true
    if (!this.#take(43)) this.#take(45)
    return this.#digits()
  }

  #digits (): boolean {
    const from = this.at
    for (let byte = this.#bytes[this.at] ?? 0; byte >= 48 && byte <= 57; byte = this.#bytes[this.at] ?? 0) this.at++
    return this.at > from
  }

  #space (): void {
    for (let byte = this.#bytes[this.at]; byte === 32 || byte === 9 || byte === 10 || byte === 13; byte = this.#bytes[this.at]) this.at++
  }

  #take (byte: number): boolean {
    if (this.#bytes[this.at] !== byte) return false
    this.at++
    return true
  }
}
