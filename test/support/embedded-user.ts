/** A process of its own that opens the embedded database of argv[2] when told on its input, prints the server's pid, and stays. */
import { once } from 'node:events'

import { openDatabase } from '../../db/connect.ts'

process.stdout.write('ready\n')
await once(process.stdin, 'data')
const { pool } = await openDatabase({ url: undefined, data: process.argv[2] ?? '', durable: false })
const { rows } = await pool.query<{ text: string }>("select pg_read_file('postmaster.pid', 0, 20) as text")
process.stdout.write(`${rows[0]?.text.split('\n', 1)[0]}\n`)
setInterval(() => {}, 1_000)
