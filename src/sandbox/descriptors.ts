import { readdirSync, readFileSync } from 'node:fs'
import type { StdioOptions } from 'node:child_process'
import type { Duplex } from 'node:stream'

/**
 * The descriptors of one child: stdin, stdout and stderr as pipes, then what the sandbox is built from. Numbers are
 * those the child sees. Descriptors that this process would leak are covered with /dev/null.
 */
export class Wiring {
  readonly #entries: ('pipe' | number)[] = ['pipe', 'pipe', 'pipe']
  readonly #data = new Map<number, string | Buffer>()

  /** A descriptor from which the child reads `content` to its end. */
  data (content: string | Buffer): number {
    const descriptor = this.#add('pipe')
    this.#data.set(descriptor, content)
    return descriptor
  }

  /** An open descriptor of ours, handed on. */
  handle (descriptor: number): number {
    return this.#add(descriptor)
  }

  /** A descriptor that the child writes to and reads from; `stream` is our end of it once it runs. */
  talk (): number {
    return this.#add('pipe')
  }

  /** @param nothing an open handle of /dev/null */
  stdio (nothing: number): StdioOptions {
    const stray = strayDescriptors().filter((descriptor) => descriptor >= this.#entries.length)
    const beyond = Array.from({ length: Math.max(0, Math.max(-1, ...stray) + 1 - this.#entries.length) }, (_, index) =>
      stray.includes(index + this.#entries.length) ? nothing : 'ignore') // above 2, 'ignore' does nothing at all
    return [...this.#entries, ...beyond]
  }

  /** Sends the content of every data descriptor. A child that dies early is reported by its exit, not here. */
  feed (streams: readonly unknown[]): void {
    for (const [descriptor, content] of this.#data) {
      const stream = streams[descriptor] as Duplex
      stream.on('error', () => {})
      stream.resume()
      stream.end(content)
    }
  }

  stream (streams: readonly unknown[], descriptor: number): Duplex {
    return streams[descriptor] as Duplex
  }

  #add (entry: 'pipe' | number): number {
    return this.#entries.push(entry) - 1
  }
}

let stray: readonly number[] | undefined

/**
 * Descriptors above 2 that a child of this process would inherit: what whoever started the gateway left open.
 * Node opens its own with close-on-exec, so that looking once is enough.
 */
export function strayDescriptors (): readonly number[] {
  stray ??= readdirSync('/proc/self/fd').map(Number).filter((descriptor) => descriptor > 2 && isInheritable(descriptor))
  return stray
}

function isInheritable (descriptor: number): boolean {
  const O_CLOEXEC = 0o2000000
  try {
    const flags = /^flags:\s+([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1]
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0
  } catch {
    return false // closed meanwhile: it was the one that read the directory
  }
}
