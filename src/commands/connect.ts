import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

import { Command } from 'commander'

import { loadConfig } from '../config/config.ts'
import { clients, instructions, merge } from './connect-clients.ts'
import type { CommandContext } from './session.ts'
import { UsageError } from './usage-error.ts'

interface Options { readonly config?: string, readonly url?: string, readonly name: string, readonly upstream?: string, readonly write?: boolean }

/** `portcullis connect CLIENT`: what to tell a client so that it uses this gateway. */
export function connectCommand ({ env, out, configOption }: CommandContext): Command {
  return new Command('connect')
    .argument('<client>')
    .option('--url <url>', 'address of the gateway (default: PUBLIC_URL)')
    .option('--name <name>', 'what the client calls it', 'portcullis')
    .option('--upstream <name>', 'only this upstream, its tools under their own names')
    .option('--write', 'write the file of the project in the current directory', false)
    .addOption(configOption())
    .action((word: string, { config, url, name, upstream, write }: Options) => {
      const client = clients[word]
      if (client === undefined) throw new UsageError(`There is no client ${JSON.stringify(word)} here. There are: ${Object.keys(clients).join(', ')}.`)
      if (!/^[A-Za-z0-9_-]{1,32}$/.test(name)) throw new UsageError('--name takes letters, digits, _ and -, at most 32.')
      const given = url === undefined ? { origin: loadConfig(env, { file: config, allowUnsandboxed: true }).server.publicUrl } : readUrl(url)
      const one = upstream ?? given.upstream
      if (given.upstream !== undefined && one !== given.upstream) throw new UsageError(`--url is the address of ${given.upstream}, and --upstream says ${one}: leave one of them out.`)
      const server = { name, url: `${given.origin}/mcp${one === undefined ? '' : `/${one}`}` }
      if (write !== true) return out(instructions(client, server))
      const path = client.file?.path ?? ''
      const file = resolve(path)
      const text = merge(path !== '' && existsSync(file) ? readFileSync(file, 'utf8') : undefined, client, server)
      mkdirSync(dirname(file), { recursive: true })
      // Whole or not at all: the file may hold what else the client knows.
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
      out(`${path} was written.\n${client.then.replace('NAME', name)}\n`)
    })
}

/** People paste the whole address: that of the gateway, of its /mcp, or of one upstream. */
function readUrl (text: string): { readonly origin: string, readonly upstream?: string | undefined } {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw new UsageError(`--url ${JSON.stringify(text)} is not an address such as https://mcp.example.com.`)
  const path = /^\/(?:mcp(?:\/([^/]+))?\/?)?$/.exec(url.pathname)
  if (path === null) throw new UsageError(`--url ${JSON.stringify(text)} is not the address of a gateway: after the host there may be /mcp, or /mcp and an upstream (${url.origin}/mcp/files).`)
  return { origin: url.origin, upstream: path[1] }
}
