import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Passes bytes both ways until both ends are done, or one breaks. */
export function join (client: Duplex, remote: Socket): void {
  const end = (): void => {
    client.destroy()
    remote.destroy()
  }
  for (const side of [client, remote]) side.on('error', end).on('close', end)
  client.pipe(remote)
  remote.pipe(client)
}
