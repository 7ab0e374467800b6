import dns from 'node:dns'
import promises from 'node:dns/promises'
import { createServer } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

/** A web server on this machine that counts who reaches it, and what went over the connections that have ended. */
export interface Website {
  readonly port: number
  readonly hits: string[]
  readonly traffic: { bytes_in: number, bytes_out: number }[]
}

/** Opens one at an address of this machine; closed with the test. */
export async function website (t: Test, address = '127.0.0.1', port = 0): Promise<Website> {
  const hits: string[] = []
  const traffic: Website['traffic'] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method ?? ''} ${request.headers.host ?? ''} ${request.headers['proxy-authorization'] ?? ''}`.trim())
    response.end('hello from the site')
  })
  server.on('connection', (socket) => socket.once('close', () => traffic.push({ bytes_in: socket.bytesWritten, bytes_out: socket.bytesRead })))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve))
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, hits, traffic }
}

/**
 * Takes the place of this process's resolver for one name, until the test ends: gives one answer after the other, and the last
 * one again. However a name is looked up, on purpose or by connecting to it, it counts. Returns how often it was asked.
 */
export function resolver (t: Test, name: string, answers: readonly string[]): () => number {
  let asked = 0
  const next = (): { address: string, family: number } => ({ address: answers[Math.min(asked++, answers.length - 1)] ?? '', family: 4 })
  const real = { lookup: dns.lookup, promised: promises.lookup }
  Object.assign(promises, { lookup: async (host: string, options: dns.LookupAllOptions) => host === name ? [next()] : await real.promised(host, options) })
  Object.assign(dns, {
    lookup: (host: string, options: dns.LookupOptions, done: (error: Error | null, found: unknown, family?: number) => void) => {
      if (host !== name) return real.lookup(host, options, done)
      const found = next()
      process.nextTick(() => { if (options.all === true) done(null, [found]); else done(null, found.address, found.family) })
    },
  })
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(promises, { lookup: real.promised })
    Object.assign(dns, { lookup: real.lookup })
    syncBuiltinESMExports()
  })
  return () => asked
}

/** Leads what this process dials at `far` to `near`, until the test ends: nothing of a test leaves the machine. Returns how often that was. */
export function detour (t: Test, far: string, near: string): () => number {
  let dialled = 0
  const real = Object.getOwnPropertyDescriptor(Socket.prototype, 'connect')?.value as (...given: unknown[]) => Socket
  Object.assign(Socket.prototype, {
    connect (this: Socket, ...given: unknown[]): Socket {
      const [options] = (Array.isArray(given[0]) ? given[0] : given) as [{ host?: string } | undefined]
      if (options?.host !== far) return real.apply(this, given)
      dialled++
      return real.call(this, { ...options, host: near })
    },
  })
  t.teardown(() => { Object.assign(Socket.prototype, { connect: real }) })
  return () => dialled
}
