// What the conformance scenarios call, by the names that they fix, told once for every SDK and era.
//
// A tool gets `context`: { args, capabilities, progressToken, state, notify, log, ask, changed, closeStream }. `ask`
// gives the client's answers by key; where the client has not been asked yet, it throws what the era does instead.

const image = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=='
const audio = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA=='

const said = (text) => ({ content: [{ type: 'text', text }] })
const object = (properties = {}, required = []) => ({ type: 'object', properties, ...(required.length === 0 ? {} : { required }) })
const string = { type: 'string' }

const form = (message, properties, required = Object.keys(properties)) => ({ method: 'elicitation/create', params: { mode: 'form', message, requestedSchema: { type: 'object', properties, required } } })
const sample = (text, maxTokens = 100) => ({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: { type: 'text', text } }], maxTokens } })
const roots = { method: 'roots/list', params: {} }
const askName = form('What is your name?', { name: string })

const pause = async () => await new Promise((resolve) => setTimeout(resolve, 30))

const elicited = ({ action, content }) => said(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`)

const defaults = {
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
}

const titled = (...values) => values.map((value) => ({ const: value, title: `The ${value}` }))
const enums = {
  untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
  titledSingle: { type: 'string', oneOf: titled('value1', 'value2', 'value3') },
  legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled('value1', 'value2', 'value3') } },
}

const contact = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
  properties: { name: string, address: { $ref: '#/$defs/address' }, contactMethod: { type: 'string', enum: ['phone', 'email'] }, phone: string, email: string },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
}

/** name → { inputSchema?, run (context) }. */
export const tools = {
  test_simple_text: { run: () => said('This is a simple text response for testing.') },
  test_image_content: { run: () => ({ content: [{ type: 'image', data: image, mimeType: 'image/png' }] }) },
  test_audio_content: { run: () => ({ content: [{ type: 'audio', data: audio, mimeType: 'audio/wav' }] }) },
  test_embedded_resource: { run: () => ({ content: [{ type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } }] }) },
  test_multiple_content_types: {
    run: () => ({
      content: [
        { type: 'text', text: 'Multiple content types test:' },
        { type: 'image', data: image, mimeType: 'image/png' },
        { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' } },
      ],
    }),
  },
  test_tool_with_logging: {
    run: async ({ log }) => {
      for (const step of ['started', 'processing data', 'completed']) {
        await log('info', `Tool execution ${step}`)
        await pause()
      }
      return said('Tool with logging executed successfully')
    },
  },
  test_tool_with_progress: {
    run: async ({ progressToken, notify }) => {
      for (const progress of [0, 50, 100]) {
        if (progressToken !== undefined) await notify('notifications/progress', { progressToken, progress, total: 100, message: `Completed step ${progress} of 100` })
        await pause()
      }
      return said(String(progressToken))
    },
  },
  test_error_handling: { run: () => ({ ...said('This tool intentionally returns an error for testing'), isError: true }) },
  test_reconnection: {
    run: async ({ closeStream }) => {
      closeStream?.()
      await new Promise((resolve) => setTimeout(resolve, 1500)) // nobody may think that the answer would have come at once
      return said('Reconnection test completed successfully.')
    },
  },
  test_sampling: {
    inputSchema: object({ prompt: string }, ['prompt']),
    run: async ({ args, ask }) => said(`LLM response: ${(await ask({ completion: sample(args.prompt) })).completion.content?.text}`),
  },
  test_elicitation: {
    inputSchema: object({ message: string }, ['message']),
    run: async ({ args, ask }) => elicited((await ask({ response: form(args.message, { response: { type: 'string', description: "User's response" } }) })).response),
  },
  test_elicitation_sep1034_defaults: { run: async ({ ask }) => elicited((await ask({ form: form('Please review the form', defaults, []) })).form) },
  test_elicitation_sep1330_enums: { run: async ({ ask }) => elicited((await ask({ form: form('Please select options', enums, []) })).form) },
  json_schema_2020_12_tool: { inputSchema: contact, run: ({ args }) => said(JSON.stringify(args)) },
  test_custom_header: {
    inputSchema: object({ region: { type: 'string', 'x-mcp-header': 'Region' } }, ['region']),
    run: ({ args }) => said(`region ${args.region}`),
  },

  test_missing_capability: { run: async ({ ask }) => said((await ask({ completion: sample('Anything') })).completion.content?.text ?? '') },
  test_streaming_elicitation: {
    run: async ({ ask, notify, progressToken }) => {
      if (progressToken !== undefined) await notify('notifications/progress', { progressToken, progress: 1 })
      return elicited((await ask({ user_name: askName })).user_name)
    },
  },
  test_logging_tool: { run: async ({ log }) => { await log('info', 'only for those who asked'); return said('logged') } },
  test_trigger_tool_change: { run: async ({ changed }) => { await changed('tools'); return said('the tools changed') } },
  test_trigger_prompt_change: { run: async ({ changed }) => { await changed('prompts'); return said('the prompts changed') } },

  test_input_required_result_elicitation: { run: async ({ ask }) => said(`Hello, ${(await ask({ user_name: askName })).user_name.content?.name}!`) },
  test_input_required_result_sampling: { run: async ({ ask }) => said((await ask({ capital_question: sample('What is the capital of France?') })).capital_question.content?.text ?? '') },
  test_input_required_result_list_roots: { run: async ({ ask }) => said(JSON.stringify((await ask({ client_roots: roots })).client_roots.roots)) },
  test_input_required_result_request_state: {
    run: async ({ ask }) => {
      await ask({ confirm: form('Please confirm', { ok: { type: 'boolean' } }) }, 'confirming')
      return said('state-ok')
    },
  },
  test_input_required_result_multiple_inputs: {
    run: async ({ ask }) => said(Object.keys(await ask({ user_name: askName, greeting: sample('Generate a greeting', 50), client_roots: roots }, 'three')).join()),
  },
  test_input_required_result_multi_round: {
    run: async ({ ask, state }) => {
      const colour = { step2: form('Step 2: What is your favorite color?', { color: string }) }
      if (state?.startsWith('named ')) return said(`${state.slice(6)} likes ${(await ask(colour, state)).step2.content?.color}`)
      const { step1 } = await ask({ step1: form('Step 1: What is your name?', { name: string }) }, 'asked')
      return said(`likes ${(await ask(colour, `named ${step1.content?.name}`)).step2.content?.color}`)
    },
  },
  test_input_required_result_tampered_state: {
    run: async ({ ask }) => {
      await ask({ confirm: form('Please confirm', { ok: { type: 'boolean' } }) }, 'untampered')
      return said('the state was as it was given')
    },
  },
  test_input_required_result_capabilities: {
    run: async ({ ask, capabilities }) => {
      const wanted = { ...(capabilities.sampling ? { thought: sample('Think of a word') } : {}), ...(capabilities.elicitation ? { user_name: askName } : {}) }
      return said(Object.keys(await ask(wanted)).join())
    },
  },
}

const user = (content) => ({ role: 'user', content })

/** name → { arguments?, run (context) }. */
export const prompts = {
  test_simple_prompt: { run: () => [user({ type: 'text', text: 'This is a simple prompt for testing.' })] },
  test_prompt_with_arguments: {
    arguments: [{ name: 'arg1', required: true }, { name: 'arg2', required: true }],
    run: ({ args }) => [user({ type: 'text', text: `Prompt with arguments: arg1='${args.arg1}', arg2='${args.arg2}'` })],
  },
  test_prompt_with_embedded_resource: {
    arguments: [{ name: 'resourceUri', required: true }],
    run: ({ args }) => [
      user({ type: 'resource', resource: { uri: args.resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' } }),
      user({ type: 'text', text: 'Please process the embedded resource above.' }),
    ],
  },
  test_prompt_with_image: { run: () => [user({ type: 'image', data: image, mimeType: 'image/png' }), user({ type: 'text', text: 'Please analyze the image above.' })] },
  test_input_required_result_prompt: {
    run: async ({ ask }) => [user({ type: 'text', text: `Context: ${(await ask({ user_context: form('What context should the prompt use?', { context: string }) })).user_context.content?.context}` })],
  },
}

export const resources = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: image },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
}

export const info = { name: 'conformance-fixture', version: '1.0.0' }
export const capabilities = { tools: { listChanged: true }, prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, logging: {}, completions: {} }

/** The answers that are the same in every era. `contextOf(request, extra, args)` is what an SDK gives its handlers. */
export function handlers (contextOf, notFound) {
  return {
    'tools/list': () => ({ tools: Object.entries(tools).map(([name, { inputSchema = object() }]) => ({ name, description: `Fixture ${name}`, inputSchema })) }),
    'tools/call': async ({ params }, extra) => {
      const tool = tools[params.name]
      if (tool === undefined) throw notFound(`Unknown tool: ${params.name}`)
      return await tool.run(contextOf(extra, params.arguments ?? {}))
    },
    'prompts/list': () => ({ prompts: Object.entries(prompts).map(([name, prompt]) => ({ name, description: `Fixture ${name}`, ...(prompt.arguments === undefined ? {} : { arguments: prompt.arguments }) })) }),
    'prompts/get': async ({ params }, extra) => {
      const prompt = prompts[params.name]
      if (prompt === undefined) throw notFound(`Unknown prompt: ${params.name}`)
      return { messages: await prompt.run(contextOf(extra, params.arguments ?? {})) }
    },
    'resources/list': () => ({ resources: Object.entries(resources).map(([uri, { mimeType }]) => ({ uri, name: uri.slice(7), mimeType })) }),
    'resources/templates/list': () => ({ resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }] }),
    'resources/read': ({ params }) => ({ contents: [{ uri: params.uri, ...read(params.uri, notFound) }] }),
    'completion/complete': () => ({ completion: { values: [], total: 0, hasMore: false } }),
  }
}

function read (uri, notFound) {
  const known = resources[uri]
  if (known !== undefined) return known
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1]
  if (id === undefined) throw notFound(`Resource not found: ${uri}`, uri)
  return { mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }
}
