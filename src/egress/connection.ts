import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Allowed, Verdict } from './decide.ts'

/** How a connection ended, and how many bytes went each way: `bytesIn` came from the far end, `bytesOut` went to it. */
export interface Ending {
  readonly outcome: 'ok' | 'error' | 'timeout' | 'cancelled'
  /** Of the system's error. */
  readonly code?: string | undefined
  readonly bytesIn: number
  readonly bytesOut: number
}

/**
 * Hears of a connection before anything is dialled; when it fails, nothing is. What it returns is called once, for an
 * allowed one, when that connection has ended or could not be made.
 */
export type RecordConnection = (verdict: Verdict) => Promise<(ending: Ending) => void>

/** Why we ended a connection that was neither side's to end. */
export class Stopped extends Error {
  readonly outcome: 'timeout' | 'cancelled'

  constructor (outcome: 'timeout' | 'cancelled') {
    super(outcome === 'timeout' ? 'nothing passed for too long' : 'the gateway ended it')
    this.outcome = outcome
  }
}

const dialMs = 15_000
/** A connection through which nothing passes for so long is closed. */
const idleMs = 600_000

/** Begins to connect to an address that was judged, never to a name. */
export function dial ({ address, port }: Allowed, ended: (ending: Ending) => void): Socket {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  socket.setTimeout(dialMs)
  socket.on('timeout', () => socket.destroy(new Stopped('timeout')))
  follow(socket, ended)
  return socket
}

/** Waits until a socket that `dial` made is connected. @throws when it cannot be, or was destroyed */
export async function connected (socket: Socket): Promise<void> {
  if (socket.destroyed) throw new Stopped('cancelled')
  await once(socket, 'connect')
  socket.setTimeout(idleMs)
}

/** Says of a socket, once, how it ended. */
export function follow (socket: Socket, ended: (ending: Ending) => void): void {
  let failure: Error | undefined
  socket.on('error', (error) => { failure ??= error })
  socket.once('close', () => ended({ ...meaning(failure), bytesIn: socket.bytesRead, bytesOut: socket.bytesWritten }))
}

/** What ended a connection, as a record has it. */
export function meaning (failure: Error | undefined): Pick<Ending, 'outcome' | 'code'> {
  if (failure === undefined) return { outcome: 'ok' }
  if (failure instanceof Stopped) return { outcome: failure.outcome }
  const code = 'code' in failure ? String(failure.code) : undefined
  return code !== undefined && notNeeded.has(code) ? { outcome: 'ok' } : { outcome: 'error', code }
}

/** How undici closes a connection that it does not need any more. */
const notNeeded = new Set(['UND_ERR_DESTROYED', 'UND_ERR_CLOSED', 'UND_ERR_INFO', 'UND_ERR_ABORTED'])
