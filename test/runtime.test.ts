import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'

const root = fileURLToPath(new URL('..', import.meta.url))
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const run = promisify(execFile)

/** Every way to start the gateway, and what it says before the name of the program. */
const ways = {
  'the program itself': /^#!\/usr\/bin\/env -S node (.+)$/m.exec(read('src/cli.ts')),
  'npm start': /"start": "exec node (.+) scripts\/start\.mjs"/.exec(read('package.json')),
  'the image': /^CMD \["node", (.+), "dist\/src\/cli\.js", "serve"\]$/m.exec(read('Dockerfile')),
  'the unit of systemd': /^ExecStart=\/usr\/bin\/node (.+) dist\/src\/cli\.js serve$/m.exec(read('docs/operations.md')),
}

t.test('whichever way the gateway is started, Node gets the same flags', async t => {
  const flags = Object.fromEntries(Object.entries(ways).map(([way, found]) => [way, found?.[1]?.replaceAll(/[",]/g, '')]))
  const { 'the program itself': own } = flags
  t.match(own, /^--min-semi-space-size=\d+ --max-semi-space-size=\d+ --use-largepages=silent --no-memory-reducer --single-threaded-gc$/)
  for (const [way, given] of Object.entries(flags)) t.equal(given, own, way)
})

t.test('the compiled program can be run by its own name', async t => {
  const { stdout, stderr } = await run(join(root, 'dist/src/cli.js'), ['--version'], { env: { PATH: `${dirname(process.execPath)}:${process.env['PATH']}` } })
  t.match(stdout, /^\d+\.\d+\.\d+/)
  t.equal(stderr, '', 'no flag is unknown to this Node')
})
