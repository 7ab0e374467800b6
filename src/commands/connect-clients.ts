/** What a person has to tell one client so that it uses this gateway. The login then happens by itself. */
export interface ClientEntry {
  readonly title: string
  /** A command that does it all. */
  readonly command?: (server: Server) => string
  /** A JSON file in the project, and what belongs into it. */
  readonly file?: { readonly path: string, readonly key: string, readonly entry: (server: Server) => object }
  /** What comes after. */
  readonly then: string
}

export interface Server {
  /** What the client will call it. */
  readonly name: string
  readonly url: string
}

/** By the word that `portcullis connect` takes. */
export const clients: Readonly<Record<string, ClientEntry>> = {
  'claude-code': {
    title: 'Claude Code',
    command: ({ name, url }) => `claude mcp add --transport http ${name} ${url}`,
    file: { path: '.mcp.json', key: 'mcpServers', entry: ({ url }) => ({ type: 'http', url }) },
    then: 'Then `/mcp` in a session, or `claude mcp login NAME`, opens the browser.',
  },
  codex: {
    title: 'Codex',
    command: ({ name, url }) => `codex mcp add ${name} --url ${url}`,
    then: 'It offers the login by itself; `codex mcp login NAME` does it again.',
  },
  cursor: {
    title: 'Cursor',
    file: { path: '.cursor/mcp.json', key: 'mcpServers', entry: ({ url }) => ({ url }) },
    then: 'Then "Needs login" in Settings → MCP opens the browser.',
  },
  vscode: {
    title: 'VS Code',
    file: { path: '.vscode/mcp.json', key: 'servers', entry: ({ url }) => ({ type: 'http', url }) },
    then: 'Start the server from the file; the browser opens.',
  },
  opencode: {
    title: 'OpenCode',
    file: { path: 'opencode.json', key: 'mcp', entry: ({ url }) => ({ type: 'remote', url, enabled: true }) },
    then: 'Then `opencode mcp auth NAME` opens the browser.',
  },
  gemini: {
    title: 'Gemini CLI',
    command: ({ name, url }) => `gemini mcp add --transport http ${name} ${url}`,
    file: { path: '.gemini/settings.json', key: 'mcpServers', entry: ({ url }) => ({ httpUrl: url }) },
    then: 'Then `/mcp auth NAME` in a session opens the browser.',
  },
  inspector: {
    title: 'MCP Inspector',
    command: ({ url }) => `npx @modelcontextprotocol/inspector --cli ${url} --transport http --method tools/list`,
    then: 'It needs Node 22.19 or newer; `MCP_AUTO_OPEN_ENABLED=true` lets it open the browser.',
  },
  'mcp-remote': {
    title: 'Clients that only start programs (mcp-remote)',
    file: { path: 'mcp.json', key: 'mcpServers', entry: ({ url }) => ({ command: 'npx', args: ['-y', 'mcp-remote@0.15.1', url, ...(url.startsWith('http:') ? ['--allow-http'] : [])] }) },
    then: 'The browser opens when the client starts it.',
  },
}

/** What `portcullis connect CLIENT` prints. */
export function instructions (client: ClientEntry, server: Server): string {
  const { command, file } = client
  const parts = [
    ...(command === undefined ? [] : [command(server)]),
    ...(file === undefined ? [] : [`${command === undefined ? '' : 'or '}in ${file.path}:`, JSON.stringify({ [file.key]: { [server.name]: file.entry(server) } }, null, 2)]),
    client.then.replace('NAME', server.name),
  ]
  return `${parts.join('\n\n')}\n`
}

/** The file's JSON with the gateway in it; everything else stays. Throws an Error when the file is something else. */
export function merge (text: string | undefined, client: ClientEntry, server: Server): string {
  if (client.file === undefined) throw new Error(`${client.title} has no file in the project: run the command that \`portcullis connect\` prints.`)
  const { path, key, entry } = client.file
  const before: unknown = text === undefined ? {} : parse(path, text)
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isObject(before) || (before[key] !== undefined && !isObject(before[key]))) throw new Error(`${path} does not hold what ${client.title} expects there. Nothing was written.`)
  return `${JSON.stringify({ ...before, [key]: { ...before[key] as object | undefined, [server.name]: entry(server) } }, null, 2)}\n`
}

function parse (path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Error(`${path} is not plain JSON (comments, perhaps), so nothing was written. Add the lines that \`portcullis connect\` prints by hand.`, { cause })
  }
}
