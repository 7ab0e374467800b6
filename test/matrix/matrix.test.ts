import t from 'tap'
import { libraries, programs } from './clients.ts'
import { tryAll } from './matrix.ts'

t.test('every client at every endpoint uses every real server, and each call is on the record', async (t) => {
  const installed = programs.filter(({ script }) => process.env[script] !== undefined)
  if (installed.length < programs.length) t.comment('npm run clients installs the clients that are programs, and takes them in')
  await tryAll(t, [...libraries, ...installed])
})
