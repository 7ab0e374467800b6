import pg from 'pg'

const SUPERUSER = 'postgres'
const DATABASE = 'portcullis'

/** For `pg`: the gateway's own database on the server whose socket is in `run`. */
export function urlOf (run: string, database: string = DATABASE): string {
  // The host of the query counts; the other one is there because a WHATWG URL with a user needs one.
  return `postgres://${SUPERUSER}@localhost/${database}?host=${encodeURIComponent(run)}`
}

/** Does the server accept connections? */
export async function isReady (run: string): Promise<boolean> {
  try {
    await withClient(run, 'postgres', async client => await client.query('select 1'))
    return true
  } catch {
    return false
  }
}

/** Creates the gateway's own database, if it is not there. */
export async function createDatabase (run: string): Promise<void> {
  await withClient(run, 'postgres', async client => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rowCount !== 0) return
    // 42P04 and 23505: another process created it in this moment.
    await client.query(`create database ${DATABASE}`).catch((error: { code?: string }) => {
      if (error.code !== '42P04' && error.code !== '23505') throw error
    })
  })
}

async function withClient (run: string, database: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(run, database), connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  try {
    await client.connect()
    await work(client)
  } finally {
    await client.end().catch(() => {})
  }
}
