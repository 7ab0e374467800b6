import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

import t from 'tap'
import { stringify } from 'yaml'

import { adminPassword, freePort, until } from '../support/gateway.ts'
import { openFolder, serve } from '../support/serve.ts'

t.test('a gateway that cannot start says why and ends with exit code 1, so that whoever started it tries again', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => { taken.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const cases: readonly { readonly what: string, readonly env: Record<string, string>, readonly says: RegExp }[] = [
    { what: 'its port is taken', env: { PORT: `${port}` }, says: /address already in use/ },
    { what: 'the database is not there', env: { DATABASE_URL: `postgres://nobody@127.0.0.1:${await freePort()}/none` }, says: /^portcullis: The database at 127\.0\.0\.1:\d+\/none cannot be used: nothing accepts connections there \(ECONNREFUSED\)\. Check DATABASE_URL and that Postgres runs there\.$/m },
    { what: 'its data directory cannot be made', env: { PORTCULLIS_DATA: '/proc/portcullis' }, says: /^portcullis: The directory \/proc\S* cannot be made \(\w+\)\. Set PORTCULLIS_DATA to a directory/m },
    { what: 'its address is none', env: { HOST: '999.1.1.1' }, says: /^environment HOST: must be an address/m },
    { what: 'the password of the administrator is too weak', env: { PORTCULLIS_ADMIN_PASSWORD: 'short' }, says: /password/i },
  ]
  for (const { what, env, says } of cases) {
    const { folder } = openFolder(t)
    const yaml = t.testdir({ 'upstreams.yaml': stringify({ upstreams: { echo: { command: 'node server.js' } } }) })
    const gateway = serve(t, ['--config', join(yaml, 'upstreams.yaml')], { PORT: `${await freePort()}`, METRICS_PORT: `${await freePort()}`, PORTCULLIS_DATA: join(folder, 'data'), PORTCULLIS_ADMIN_PASSWORD: adminPassword, ...env })
    t.equal(await gateway.ended, 1, what)
    t.match(gateway.said(), says)
    t.notMatch(gateway.said(), /\bat \S+ \(|"stack"/, 'no stack')
  }
})

t.test('the command that a start prints makes a token for this very gateway, wherever its file is and whatever it is called', async (t) => {
  const { folder } = openFolder(t)
  const file = join(folder, "bob's gateway.yaml")
  writeFileSync(file, stringify({ upstreams: { echo: { command: 'node server.js' } }, roles: { admin: { allow: ['*/*'] } } }))
  const gateway = serve(t, ['--config', file], { PORT: `${await freePort()}`, METRICS_PORT: `${await freePort()}`, PORTCULLIS_ADMIN_PASSWORD: adminPassword })
  await until(() => gateway.said().includes('Connect a client:') || gateway.process.exitCode !== null, 120_000)
  const [, command = ''] = /^ {2}npx portcullis (token create .*)$/m.exec(gateway.said()) ?? []
  const cli = fileURLToPath(new URL('../../dist/src/cli.js', import.meta.url))
  const { stdout } = await promisify(execFile)('sh', ['-c', `"$0" "$1" ${command}`, process.execPath, cli], { cwd: folder, env: { PATH: process.env['PATH'] } })
  t.match(stdout, /^portcullis_pat_/)
})
