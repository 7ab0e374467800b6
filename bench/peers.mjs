// The gateways of others that Portcullis is compared with: pinned, and installed when a benchmark first needs them.
import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const cache = fileURLToPath(new URL('../.portcullis/bench-peers/', import.meta.url))
const installMs = 180_000

const peers = {
  'mcp-proxy': { version: '6.7.19', program: 'dist/bin/mcp-proxy.mjs' },
  supergateway: { version: '4.0.0', program: 'dist/index.js' },
}

/** Path of a peer's program, installed first when it is missing or has another version. */
export async function peerProgram (name, say) {
  const { version, program } = peers[name]
  const folder = `${cache}${name}`
  const installed = `${folder}/node_modules/${name}`
  if (await versionOf(installed) !== version) {
    say(`installing ${name}@${version} into ${folder}`)
    await mkdir(folder, { recursive: true })
    await run('npm', ['install', '--prefix', folder, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund', `${name}@${version}`], { cwd: folder, timeout: installMs })
  }
  return `${installed}/${program}`
}

async function versionOf (folder) {
  try {
    return JSON.parse(await readFile(`${folder}/package.json`, 'utf8')).version
  } catch {
    return undefined
  }
}
