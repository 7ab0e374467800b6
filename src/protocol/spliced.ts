/** JSON on its way to a client: text, or the bytes of a large result with text around them. */
export type Json = string | Spliced

/**
 * Large JSON in the very bytes it came in, between text of our own. It is neither decoded nor joined on its way to a
 * client, so that a result of many megabytes is in memory once; `String()` gives it to whoever needs it as text.
 */
export class Spliced {
  readonly head: string
  readonly bytes: Buffer
  readonly tail: string

  constructor (head: string, bytes: Buffer, tail: string) {
    this.head = head
    this.bytes = bytes
    this.tail = tail
  }

  /** In bytes. */
  get length (): number {
    return Buffer.byteLength(this.head) + this.bytes.length + Buffer.byteLength(this.tail)
  }

  toString (): string {
    return this.head + this.bytes.toString() + this.tail
  }

  /** The same with more text around it. */
  within (before: string, after: string): Spliced {
    return new Spliced(before + this.head, this.bytes, this.tail + after)
  }
}

/** JSON with more text around it. */
export function around (before: string, json: Json, after: string): Json {
  return typeof json === 'string' ? `${before}${json}${after}` : json.within(before, after)
}

/** Length in bytes, as Content-Length wants it. */
export function byteLength (json: Json): number {
  return typeof json === 'string' ? Buffer.byteLength(json) : json.length
}

/** Writes it to a stream as it is, in one go. */
export function writeTo (stream: { cork (): void, uncork (): void, write (part: string | Buffer): boolean }, json: Json): void {
  if (typeof json === 'string') {
    stream.write(json)
    return
  }
  stream.cork()
  for (const part of [json.head, json.bytes, json.tail]) if (part.length > 0) stream.write(part)
  stream.uncork()
}
