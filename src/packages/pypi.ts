import { join } from 'node:path'
import type { PackagesSpec } from '../config/config.ts'
import { isObject } from '../protocol/message.ts'
import type { Host } from '../sandbox/host.ts'
import { SandboxError } from '../sandbox/sandbox-error.ts'
import type { Piece, Pin, Plan } from './pin.ts'
import { networkOf, trust } from './registry.ts'
import type { Registry } from './registry.ts'
import type { Wanted } from './wanted.ts'
import { inner } from './workshop.ts'
import type { Workshop } from './workshop.ts'

/** A Python package index, by pip. Wheels only: a source archive runs code when it is installed. */
export function pypiRegistry (spec: PackagesSpec, host: Host): Registry {
  return { resolve, install, command }

  async function resolve ({ name, extras, range = '' }: Wanted, workshop: Workshop): Promise<Plan> {
    await pip(workshop, ['--dry-run', '--ignore-installed', '--report', `${inner}/report.json`, `${name}${extras}${range}`])
    const report: unknown = JSON.parse(workshop.read('report.json'))
    const chosen: unknown = isObject(report) ? report['install'] : undefined
    if (!Array.isArray(chosen)) throw new SandboxError('pip wrote a report that cannot be understood.', 'Install pip 22.2 or newer.')
    return { pypi: chosen.map(pieceOf) }
  }

  /** pip holds every wheel against its digest, and takes nothing that has none. */
  async function install ({ plan }: Pin, workshop: Workshop): Promise<void> {
    if (!('pypi' in plan)) throw new SandboxError('The lock file names a package of another registry.')
    workshop.write('requirements.txt', plan.pypi.map(({ name, version, integrity }) => `${name}==${version} --hash=${integrity}\n`).join(''))
    await pip(workshop, ['--no-deps', '--require-hashes', '--target', `${inner}/lib`, '-r', `${inner}/requirements.txt`])
  }

  function command ({ name, program, rest }: Wanted, folder: string): { command: string[], env: Record<string, string> } {
    const library = join(folder, 'lib')
    const script = join(library, 'bin', program ?? name)
    if (host.kind(script) !== 'file') throw new SandboxError(`The package ${name} has no program ${program ?? name}.`, 'Name it: uvx --from <package> <program>.')
    return { command: ['python3', script, ...rest], env: { PYTHONPATH: library, PYTHONDONTWRITEBYTECODE: '1' } }
  }

  async function pip (workshop: Workshop, words: readonly string[]): Promise<void> {
    const [index = '', ...files] = spec.pypi === undefined ? (await workshop.run([...tool, '--where'], settings, 'none')).trim().split(/\s+/) : [spec.pypi]
    await workshop.run([...tool, 'install', '--only-binary=:all:', '--no-input', '--quiet', ...words], { ...settings, PIP_INDEX_URL: index }, networkOf(index, files, spec))
  }
}

/** pip as it is installed, else the one that Debian's python3-venv brings; asked `--where`, it says where it goes when nobody tells it. */
const tool = ['python3', '-c', `
import glob, runpy, sys
try:
    import pip
except ImportError:
    sys.path[:0] = sorted(glob.glob('/usr/share/python-wheels/pip-*.whl'))[-1:]
if sys.argv[1] == '--where':
    from pip._internal.models.index import PyPI
    print(PyPI.simple_url, PyPI.file_storage_domain)
else:
    runpy.run_module('pip', run_name='__main__')
`]

const settings = { ...trust('PIP_CERT'), PIP_CONFIG_FILE: '/dev/null', PIP_NO_CACHE_DIR: '1', PIP_DISABLE_PIP_VERSION_CHECK: '1' }

function pieceOf (item: unknown): Piece {
  const { metadata, download_info: download } = item as { metadata: { name: string, version: string }, download_info: { archive_info?: { hash?: string, hashes?: { sha256?: string } } } }
  const { hash, hashes } = download.archive_info ?? {}
  const sha256 = hashes?.sha256 ?? /^sha256=([0-9a-f]{64})$/.exec(hash ?? '')?.[1]
  return { name: metadata.name, version: metadata.version, integrity: sha256 === undefined ? '' : `sha256:${sha256}` }
}
