import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { fixtures, startGateway } from '../support/gateway.ts'
import type { TestGateway } from '../support/gateway.ts'

/** One tool of a real server: what to send, given a word that no other call has, and what comes back. */
interface Tried {
  readonly tool: string
  readonly args: (word: string) => Record<string, unknown>
  readonly reply: (word: string) => RegExp
}

/** The servers by the name they have in the configuration; `python` is on the official SDK where TEST_PYTHON has it. */
export const servers: Readonly<Record<string, Tried>> = {
  everything: { tool: 'echo', args: (message) => ({ message }), reply: (word) => new RegExp(word) },
  files: { tool: 'read_text_file', args: () => ({ path: '/data/hello.txt' }), reply: () => /hello from a file/ },
  memory: { tool: 'create_entities', args: (name) => ({ entities: [{ name, entityType: 'word', observations: [] }] }), reply: (word) => new RegExp(word) },
  thinking: { tool: 'sequentialthinking', args: (thought) => ({ thought, nextThoughtNeeded: false, thoughtNumber: thought.length, totalThoughts: 1 }), reply: (word) => new RegExp(`thoughtNumber\\W+${word.length}\\b`) },
  python: { tool: 'shout', args: (text) => ({ text }), reply: (word) => new RegExp(word.toUpperCase()) },
  modern: { tool: 'echo', args: (text) => ({ text }), reply: (word) => new RegExp(word) },
}

const python = process.env['TEST_PYTHON']

/** A gateway in front of real servers, configured as their users do; `modern` speaks 2026-07-28 and nothing older. */
export async function inFrontOfRealServers (t: Test): Promise<TestGateway> {
  const folder = t.testdir()
  const files = join(folder, 'files')
  mkdirSync(files)
  chmodSync(folder, 0o755)
  chmodSync(files, 0o777)
  writeFileSync(join(files, 'hello.txt'), 'hello from a file\n')
  return await startGateway(t, {
    folder,
    yaml: {
      upstreams: {
        everything: { command: 'npx -y @modelcontextprotocol/server-everything stdio' },
        files: { command: 'npx -y @modelcontextprotocol/server-filesystem /data', sandbox: { write: [`${files}:/data`] } },
        memory: { command: 'npx', args: ['-y', '@modelcontextprotocol/server-memory'], env: { MEMORY_FILE_PATH: '/tmp/memory.json' } },
        thinking: { command: ['npx', '@modelcontextprotocol/server-sequential-thinking'] },
        python: { command: python === undefined ? ['python3', join(fixtures, 'stdlib_server.py')] : [python, join(fixtures, 'sdk_server.py')] },
        modern: { command: ['node', join(fixtures, 'modern.mjs')], sandbox: { read: [join(fixtures, '../../node_modules')] } },
      },
      roles: { user: { allow: ['*/*'], deny: ['files/write_*', 'files/edit_file', 'files/move_file'] } },
      limits: [{ calls: 1000, per: 'hour', by: ['user', 'tool'] }],
    },
  })
}
