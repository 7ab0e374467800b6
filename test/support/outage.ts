import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Test } from 'tap'
import type { Database } from '../../db/connect.ts'

/** A database behind a cable that a test can pull. */
export interface Cable {
  readonly url: string
  /** Every connection breaks and new ones are refused. */
  pull (): Promise<void>
  plug (): Promise<void>
}

/** Puts a relay in front of the Postgres at `url` (TCP, or a unix socket named by `?host=`). */
export async function cableTo (t: Test, url: string): Promise<Cable> {
  const parsed = new URL(url)
  const folder = parsed.searchParams.get('host')
  const port = Number(parsed.port === '' ? 5432 : parsed.port)
  const open = new Set<Socket>()
  let port2 = 0
  let server = listen()
  await new Promise((resolve) => server.once('listening', resolve))
  port2 = (server.address() as AddressInfo).port
  t.teardown(async () => await pull())

  function listen (): ReturnType<typeof createServer> {
    return createServer((near) => {
      const far = folder === null ? connect(port, parsed.hostname) : connect(`${folder}/.s.PGSQL.${port}`)
      for (const socket of [near, far]) {
        open.add(socket)
        socket.on('close', () => { open.delete(socket); near.destroy(); far.destroy() })
        socket.on('error', () => {})
      }
      near.pipe(far).pipe(near)
    }).listen(port2, '127.0.0.1')
  }

  async function pull (): Promise<void> {
    const closed = new Promise((resolve) => server.close(resolve))
    for (const socket of open) socket.destroy()
    await closed
  }

  const relayed = new URL(url)
  relayed.searchParams.delete('host')
  relayed.hostname = '127.0.0.1'
  relayed.port = String(port2)
  return {
    url: relayed.toString(),
    pull,
    plug: async () => {
      server = listen()
      await new Promise((resolve) => server.once('listening', resolve))
    },
  }
}

/** The database takes no record any more, but still says who may do what. Returns how it goes on. */
export async function stopRecording ({ pool }: Pick<Database, 'pool'>): Promise<() => Promise<void>> {
  await pool.query(rename('ingest', 'ingest_later'))
  return async () => { await pool.query(rename('ingest_later', 'ingest')) }
}

/** A function of the ledger under another name, in all its forms. */
function rename (from: string, to: string): string {
  return `do $$ declare form regprocedure; begin
    for form in select oid from pg_proc where proname = '${from}' and pronamespace = 'ledger'::regnamespace loop
      execute format('alter function %s rename to ${to}', form);
    end loop;
  end $$`
}
