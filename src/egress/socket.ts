import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whom a cell of a root gateway runs as. */
const nobody = 65_534

/** Lets a server listen on a new socket that only the user of the cell can connect to. `close` removes it. */
export async function openSocket (server: Server): Promise<{ path: string, close (): Promise<void> }> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'portcullis-egress-')))
  const path = join(folder, 'egress.sock')
  try {
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, 0o600)
    if (process.getuid?.() === 0) {
      chownSync(path, nobody, nobody)
      chmodSync(folder, 0o711) // its user must pass to mount it
    }
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    throw error
  }
  return {
    path,
    async close () {
      if (server.listening) {
        const closed = once(server, 'close')
        server.close()
        server.closeAllConnections()
        await closed
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
