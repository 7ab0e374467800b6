// Brings and runs the official conformance suite; says what came of each check.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const release = '0.2.0-alpha.12'
const installMs = 300_000
const runMs = 240_000
const bearer = fileURLToPath(new URL('bearer.mjs', import.meta.url))

/** The suite at its pinned release with a Node that it runs on, installed below the cache directory on first use. */
export async function bringSuite () {
  const folder = process.env.CONFORMANCE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'portcullis-conformance')
  const entry = join(folder, 'node_modules/@modelcontextprotocol/conformance/dist/index.js')
  const old = Number(process.versions.node.split('.')[0]) < 22
  const node = old ? join(folder, `node_modules/node-linux-${process.arch}/bin/node`) : process.execPath
  if (!existsSync(entry) || !existsSync(node)) {
    mkdirSync(folder, { recursive: true })
    const packages = [`@modelcontextprotocol/conformance@${release}`, ...old ? [`node-linux-${process.arch}@24`] : []]
    await run('npm', ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', ...packages], { timeout: installMs })
  }
  return { node, entry }
}

/**
 * Runs every server scenario of one revision against a URL.
 * @returns Map "scenario:check" → { status (the worst it had), why, checks, passed }; what the suite found not to apply (INFO, SKIPPED) is no check
 */
export async function runScenarios ({ node, entry }, { url, version, token }) {
  const output = mkdtempSync(join(tmpdir(), 'portcullis-conformance-'))
  const env = { ...process.env, CONFORMANCE_TOKEN: token ?? '', CONFORMANCE_ENTRY: entry }
  try {
    // It exits 1 when a check fails, which is for the results to say.
    await run(node, ['--import', bearer, entry, 'server', '--url', url, '--suite', 'all', '--spec-version', version, '-o', output], { env, timeout: runMs, maxBuffer: 64 * 1024 * 1024 }).catch((error) => { if (error.code !== 1) throw error })
    return readResults(output, version)
  } finally {
    rmSync(output, { recursive: true, force: true })
  }
}

const rank = { INFO: 0, SKIPPED: 0, SUCCESS: 1, WARNING: 2, FAILURE: 3 }

function readResults (output, version) {
  const found = new Map()
  for (const folder of readdirSync(output)) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d{2}-\d{2}T[\d-]+Z$/, '')
    for (const { id, status, errorMessage } of JSON.parse(readFileSync(join(output, folder, 'checks.json'), 'utf8'))) {
      const name = `${scenario}:${id}`
      const known = found.get(name)
      if (rank[status] === undefined) continue
      const checks = (known?.checks ?? 0) + (rank[status] > 0 ? 1 : 0)
      const passed = (known?.passed ?? 0) + (status === 'SUCCESS' ? 1 : 0)
      found.set(name, rank[status] > rank[known?.status] || known === undefined ? { status, why: errorMessage, checks, passed } : { ...known, checks, passed })
    }
  }
  if (found.size === 0) throw new Error(`no scenario of ${version} said anything`)
  return found
}
