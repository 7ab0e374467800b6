import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const dialMs = 15_000
/** A tunnel through which nothing passes for so long is closed. */
const idleMs = 600_000

/** Connects to an address, never to a name. @throws when there is no answer */
export async function dial (address: string, port: number): Promise<Socket> {
  const socket = connect({ host: address, port, allowHalfOpen: true })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(dialMs) })
    return socket
  } catch (error) {
    socket.destroy()
    throw error
  }
}

/** Passes bytes both ways until both ends are done, or one breaks. */
export function join (client: Duplex, remote: Socket): void {
  const end = (): void => {
    client.destroy()
    remote.destroy()
  }
  for (const side of [client, remote]) side.on('error', end).on('close', end)
  remote.setTimeout(idleMs, end)
  client.pipe(remote)
  remote.pipe(client)
}
