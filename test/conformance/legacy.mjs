// The fixture on SDK v1: the session era only. As a program it serves stdio.
import { pathToFileURL } from 'node:url'

import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import {
  CallToolRequestSchema, CompleteRequestSchema, CreateMessageResultSchema, ElicitResultSchema, GetPromptRequestSchema,
  ListPromptsRequestSchema, ListResourcesRequestSchema, ListResourceTemplatesRequestSchema, ListRootsResultSchema, ListToolsRequestSchema,
  McpError, ReadResourceRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'

import { capabilities, handlers, info } from './features.mjs'

const schemas = {
  'tools/list': ListToolsRequestSchema,
  'tools/call': CallToolRequestSchema,
  'prompts/list': ListPromptsRequestSchema,
  'prompts/get': GetPromptRequestSchema,
  'resources/list': ListResourcesRequestSchema,
  'resources/templates/list': ListResourceTemplatesRequestSchema,
  'resources/read': ReadResourceRequestSchema,
  'completion/complete': CompleteRequestSchema,
}
const results = { 'elicitation/create': ElicitResultSchema, 'sampling/createMessage': CreateMessageResultSchema, 'roots/list': ListRootsResultSchema }
const lists = { tools: 'sendToolListChanged', prompts: 'sendPromptListChanged' }

export function createServer () {
  const server = new Server(info, { capabilities })
  const contextOf = (extra, args) => ({
    args,
    // What the client says it can do is said once a connection here, not with each request.
    capabilities: { elicitation: {}, ...server.getClientCapabilities() },
    progressToken: extra._meta?.progressToken,
    state: undefined,
    notify: async (method, params) => await extra.sendNotification({ method, params }),
    log: async (level, data) => await extra.sendNotification({ method: 'notifications/message', params: { level, data } }),
    ask: async (requests) => Object.fromEntries(await Promise.all(Object.entries(requests).map(async ([key, request]) => [key, await extra.sendRequest(request, results[request.method])]))),
    changed: async (list) => await server[lists[list]](),
    closeStream: extra.closeSSEStream,
  })
  const answers = handlers(contextOf, (message, uri) => new McpError(uri === undefined ? -32602 : -32002, message, uri === undefined ? undefined : { uri }))
  for (const [method, schema] of Object.entries(schemas)) server.setRequestHandler(schema, answers[method])
  server.setRequestHandler(SubscribeRequestSchema, () => ({}))
  server.setRequestHandler(UnsubscribeRequestSchema, () => ({}))
  return server
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await createServer().connect(new StdioServerTransport())
