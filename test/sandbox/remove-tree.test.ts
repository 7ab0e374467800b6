import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import t from 'tap'

const run = promisify(execFile)
const built = new URL('../../dist/src/sandbox/remove-tree.js', import.meta.url).href

t.test('what a cell shut to its owner is removed with the rest, and what it linked to stays', async (t) => {
  const outside = t.testdir({ kept: 'x' })
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-tree-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o777)
  // by a user for whom directories can be shut at all
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const script = `
    import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
    import { removeTree } from ${JSON.stringify(built)}
    const cell = ${JSON.stringify(join(folder, 'cell'))}
    mkdirSync(cell + '/home/shut/inner', { recursive: true })
    writeFileSync(cell + '/home/shut/inner/file', 'x')
    symlinkSync(${JSON.stringify(outside)}, cell + '/home/link')
    chmodSync(cell + '/home/shut/inner', 0o555)
    chmodSync(cell + '/home/shut', 0)
    removeTree(cell)
    removeTree(cell)`
  await run(process.execPath, ['--input-type=module', '-e', script], { ...user, cwd: folder })
  t.notOk(existsSync(join(folder, 'cell')))
  t.ok(existsSync(join(outside, 'kept')))
})

t.test('what cannot be removed is left, and nothing is thrown', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-tree-'))
  t.teardown(() => { chmodSync(folder, 0o700); rmSync(folder, { recursive: true, force: true }) })
  mkdirSync(join(folder, 'cell'))
  writeFileSync(join(folder, 'cell', 'file'), 'x')
  symlinkSync('file', join(folder, 'cell', 'link'))
  chmodSync(folder, 0o555)
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  await run(process.execPath, ['--input-type=module', '-e', `import { removeTree } from ${JSON.stringify(built)}; removeTree(${JSON.stringify(join(folder, 'cell'))})`], { ...user, cwd: folder })
  t.ok(existsSync(join(folder, 'cell')))
})
