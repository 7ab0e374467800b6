import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { fixtures } from './gateway.ts'

/** An index of Python packages on the loopback that has one wheel: `shouting` 1.0.0, whose program is the server of the standard library. */
export async function wheelIndex (t: Test): Promise<{ url: string, tamper (): void }> {
  const name = 'shouting-1.0.0-py3-none-any.whl'
  const honest = wheel(readFileSync(join(fixtures, 'stdlib_server.py'), 'utf8'))
  let served = honest
  const digest = createHash('sha256').update(honest).digest('hex')
  const server = createServer((request, response) => {
    if (request.url === `/${name}`) response.end(served)
    else if (request.url === '/simple/shouting/') response.setHeader('content-type', 'text/html').end(`<!DOCTYPE html><html><body><a href="/${name}#sha256=${digest}">${name}</a></body></html>`)
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple/`, tamper: () => { served = wheel('raise SystemExit\n') } }
}

function wheel (source: string): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-wheel-'))
  try {
    const about = join(folder, 'shouting-1.0.0.dist-info')
    mkdirSync(about)
    writeFileSync(join(folder, 'shouting.py'), `${source}\n\ndef main():\n    pass\n`)
    writeFileSync(join(about, 'METADATA'), 'Metadata-Version: 2.1\nName: shouting\nVersion: 1.0.0\n')
    writeFileSync(join(about, 'WHEEL'), 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    writeFileSync(join(about, 'entry_points.txt'), '[console_scripts]\nshout = shouting:main\n')
    writeFileSync(join(about, 'RECORD'), '')
    execFileSync('python3', ['-m', 'zipfile', '-c', 'out.whl', 'shouting.py', 'shouting-1.0.0.dist-info'], { cwd: folder })
    return readFileSync(join(folder, 'out.whl'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
