import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Test } from 'tap'
import { fixtures } from './gateway.ts'

/** A registry of npm packages, or an index of Python wheels, on the loopback: what it serves is made of files. */
export interface TestRegistry {
  readonly url: string
  /** Paths that were asked for. */
  readonly asked: string[]
  /** Publishes a package; one of the same name and version is replaced, which an honest registry never does. */
  publish (release: Release): void
  /** Serves other bytes for an archive than its digest says. */
  tamper (name: string): void
}

export interface Release {
  readonly name: string
  readonly version: string
  readonly dependencies?: Record<string, string>
  readonly scripts?: Record<string, string>
  readonly main?: string
  /** Path in the package → content. */
  readonly files?: Record<string, string>
}

/** The fixture server that listens to nobody but its stdin, as the program of a package. */
export const serverFiles = (): Record<string, string> => ({ 'index.mjs': `#!/usr/bin/env node\n${readFileSync(join(fixtures, 'reaching.mjs'), 'utf8')}` })

/** An npm registry; closed with the test. */
export async function npmRegistry (t: Test): Promise<TestRegistry> {
  const packages = new Map<string, Map<string, { manifest: object, archive: Buffer, served: Buffer }>>()
  const asked: string[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '')
    asked.push(path)
    const archive = /^\/-\/(.+)\/([^/]+)\.tgz$/.exec(path)
    const versions = packages.get(archive?.[1] ?? path.slice(1))
    if (versions === undefined) response.writeHead(404).end('{}')
    else if (archive !== null) response.end(versions.get(archive[2] ?? '')?.served)
    else response.setHeader('content-type', 'application/json').end(JSON.stringify(packument(path.slice(1), versions)))
  })
  const packument = (name: string, versions: ReadonlyMap<string, { manifest: object, archive: Buffer }>): object => ({
    name,
    'dist-tags': { latest: [...versions.keys()].at(-1) },
    versions: Object.fromEntries([...versions].map(([version, { manifest, archive }]) => [version, { ...manifest, dist: { tarball: `${url}/-/${name}/${version}.tgz`, integrity: `sha512-${createHash('sha512').update(archive).digest('base64')}` } }])),
  })
  const url = await listen(t, server)
  return {
    url,
    asked,
    publish ({ name, version, dependencies = {}, scripts = {}, main = 'index.mjs', files = serverFiles() }) {
      const manifest = { name, version, main, dependencies, scripts, bin: { [name.split('/').at(-1) ?? name]: 'index.mjs' } }
      const archive = pack({ ...files, 'package.json': JSON.stringify(manifest) })
      const hasInstallScript = ['preinstall', 'install', 'postinstall'].some((script) => script in scripts)
      packages.set(name, (packages.get(name) ?? new Map()).set(version, { manifest: { ...manifest, ...(hasInstallScript && { hasInstallScript }) }, archive, served: archive }))
    },
    tamper (name) {
      for (const release of packages.get(name)?.values() ?? []) release.served = pack({ 'package.json': '{}', 'index.mjs': 'process.exit(1)' })
    },
  }
}

async function listen (t: Test, server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A gzipped tar with everything below `package/`, as npm packs it. */
function pack (files: Record<string, string>): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-package-'))
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, 'package', path)), { recursive: true })
      writeFileSync(join(folder, 'package', path), content, { mode: 0o755 })
    }
    return execFileSync('tar', ['-czf', '-', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '-C', folder, 'package'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
