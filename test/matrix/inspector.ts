import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Connection, Way } from './clients.ts'

const run = promisify(execFile)

/** The Inspector on the command line: a connection of its own for everything it does. */
export function inspect (script: string, url: URL, token: string, way: Way): Connection {
  const ask = async (...args: string[]): Promise<string> =>
    (await run(process.execPath, [script, '--cli', url.href, '--transport', way, '--header', `Authorization: Bearer ${token}`, '--method', ...args])).stdout
  return {
    list: async () => (JSON.parse(await ask('tools/list')) as { tools: { name: string }[] }).tools.map(({ name }) => name),
    call: async (tool, args) => await ask('tools/call', '--tool-name', tool, ...Object.entries(args).flatMap(([name, value]) => ['--tool-arg', `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`])),
    close: async () => {},
  }
}
