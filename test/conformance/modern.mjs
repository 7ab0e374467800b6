// The fixture on SDK v2. As a program it serves stdio: 2026-07-28 alone, or with DUAL set the session era as well.
import { randomBytes } from 'node:crypto'
import { pathToFileURL } from 'node:url'

import { createRequestStateCodec, fromJsonSchema, inputRequired, McpServer, ProtocolError, ResourceNotFoundError } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'

import { capabilities, handlers, info, tools } from './features.mjs'

const states = createRequestStateCodec({ key: randomBytes(32) })
const lists = { tools: 'sendToolListChanged', prompts: 'sendPromptListChanged' }

/** What a handler gives back when the client has to be asked first. */
class Ask {
  constructor (result) {
    this.result = result
  }
}

/** @param publish told of 'tools' or 'prompts' that changed; by default the connection is */
export function createServer (publish) {
  const fixture = new McpServer(info, { capabilities, requestState: { verify: states.verify } })
  // The SDK checks the headers of those tools only whose schemas it knows; the answers come from the handlers below.
  for (const [name, { inputSchema, run }] of Object.entries(tools)) if (inputSchema !== undefined) fixture.registerTool(name, { inputSchema: fromJsonSchema(inputSchema) }, run)
  const { server } = fixture
  const contextOf = ({ mcpReq }, args) => ({
    args,
    capabilities: mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? server.getClientCapabilities() ?? {},
    progressToken: mcpReq._meta?.progressToken,
    state: mcpReq.requestState(),
    notify: async (method, params) => await mcpReq.notify({ method, params }),
    log: async (level, data) => await mcpReq.log(level, data),
    ask: async (requests, state) => {
      const given = mcpReq.inputResponses ?? {}
      if (Object.keys(requests).every((key) => given[key] !== undefined)) return given
      throw new Ask(inputRequired({ inputRequests: requests, ...(state === undefined ? {} : { requestState: await states.mint(state) }) }))
    },
    changed: async (list) => publish === undefined ? await server[lists[list]]() : publish(list),
    closeStream: undefined,
  })
  const answers = handlers(contextOf, (message, uri) => uri === undefined ? new ProtocolError(-32602, message) : new ResourceNotFoundError(uri, message))
  for (const [method, answer] of Object.entries(answers)) server.setRequestHandler(method, async (request, context) => await asking(() => answer(request, context)))
  server.setRequestHandler('resources/subscribe', () => ({}))
  server.setRequestHandler('resources/unsubscribe', () => ({}))
  return fixture
}

async function asking (work) {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Ask) return error.result
    throw error
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) serveStdio(() => createServer(), { legacy: process.env.DUAL === undefined ? 'reject' : 'serve' })
