#!/usr/bin/env node
// What a pinned package saves at every start: from nothing to the first answer of one published server, by plain `npx -y` with a warm and
// with an empty cache, by plain node from a folder that it is installed in, and pinned, in its cell. They take turns within every round.
//
//   npm run build && node bench/packages.mjs [--quick] [--private RANGE]
//
// Asks the npm registry; --private grants addresses to it, as packages.private does.
// Exit code: 0 when a pinned package starts in less than half the time of `npx -y` with a warm cache, 1 when it does not.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

import { loadConfig } from '../dist/src/config/config.js'
import { openCells } from '../dist/src/upstreams/cells.js'

const { quick, private: granted } = parseArgs({ options: { quick: { type: 'boolean', default: false }, private: { type: 'string', multiple: true, default: [] } } }).values
const rounds = quick ? { usual: 2, empty: 1 } : { usual: 9, empty: 3 }
const atMost = 0.5
const name = '@modelcontextprotocol/server-memory@2026.7.4'
const initialize = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}\n'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
chmodSync(folder, 0o755)
writeFileSync(join(folder, 'upstreams.yaml'), JSON.stringify({ upstreams: { pinned: { command: ['npx', '-y', name] } }, ...granted.length === 0 ? {} : { packages: { private: granted } } }))
const config = loadConfig({ PATH: process.env.PATH, PORTCULLIS_DATA: join(folder, 'data') }, { file: join(folder, 'upstreams.yaml') })
const cells = openCells(config, { egress: async () => () => {}, pinned: () => {} })
try {
  process.exitCode = await run() ? 0 : 1
} finally {
  await cells.close()
  rmSync(folder, { recursive: true, force: true })
}

async function run () {
  const spec = config.upstreams.get('pinned')
  const begun = performance.now()
  const { command } = await cells.packages.program(spec.name, spec.command)
  console.log(`resolved, installed and pinned, once: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
  const ways = {
    'npx -y, cache empty': async (round) => await plain(['npx', '-y', name], { npm_config_cache: join(folder, `cache-${round}`) }),
    'npx -y, cache warm': async () => await plain(['npx', '-y', name], { npm_config_cache: join(folder, 'cache-0') }),
    'installed, plain node': async () => await plain(command, {}),
    'pinned, in its cell': async () => await timed(await cells.spawn(spec, { id: 'bench', name: 'bench' }, { egress: async () => () => {}, stderr: () => {} })),
  }
  const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]))
  for (let round = 0; round < rounds.usual; round++) {
    for (const [way, start] of Object.entries(ways)) {
      if (way.endsWith('empty') && round >= rounds.empty) continue
      const begun = performance.now()
      const over = await start(round)
      times[way].push(performance.now() - begun)
      await over()
    }
  }
  for (const [way, each] of Object.entries(times)) console.log(`start to first answer, ${way}: ${median(each).toFixed(0)} (least ${Math.min(...each).toFixed(0)}) ms, ${each.length} starts`)
  const ratio = median(times['pinned, in its cell']) / median(times['npx -y, cache warm'])
  console.log(`${ratio <= atMost ? 'met   ' : 'MISSED'}  pinned, in its cell ÷ npx -y with a warm cache: ${ratio.toFixed(2)}× (at most ${atMost}×)`)
  return ratio <= atMost
}

/** A server as a client of today starts it. */
async function plain ([program, ...args], env) {
  const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'ignore'], detached: true })
  const exited = once(child, 'exit')
  return await timed({ stdin: child.stdin, stdout: child.stdout, exited, kill: () => process.kill(-child.pid, 'SIGKILL') })
}

/** Waits for the first answer; gives back how to end it. */
async function timed (server) {
  const line = once(createInterface({ input: server.stdout }), 'line')
  server.stdin.write(initialize)
  await Promise.race([line, server.exited.then(() => { throw new Error('the server ended before it answered') })])
  return async () => {
    server.kill()
    await server.exited
  }
}

function median (values) {
  return values.toSorted((left, right) => left - right)[values.length >> 1]
}
