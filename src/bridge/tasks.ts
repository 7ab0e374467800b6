import type { Call } from '../call.ts'
import { isObject } from '../protocol/message.ts'
import type { Params } from '../protocol/message.ts'
import type { Era } from '../protocol/era.ts'
import type { Answer } from '../upstreams/answer.ts'

/** Name of the extension among the capabilities of 2026-07-28; before, tasks were a capability of their own. */
export const tasksExtension = 'io.modelcontextprotocol/tasks'
/** The `_meta` member of the session era that says which task a message is about (specification 2025-11-25, basic/utilities/tasks). */
const relatedTask = 'io.modelcontextprotocol/related-task'
/** The revision of the session era that brought tasks. */
const since = '2025-11-25'

/** Capabilities of an upstream as a client of this era and revision is told of them: tasks only where both speak of the same ones, and no list of them, which would be everybody's. */
export function withTasks (capabilities: Params, upstream: Era, client: Era, version: string): Params {
  const { tasks, extensions, ...kept } = capabilities
  const others = isObject(extensions) ? Object.entries(extensions).filter(([name]) => name !== tasksExtension || (upstream === 'modern' && client === 'modern')) : []
  const isTold = upstream === 'legacy' && client === 'legacy' && version >= since && isObject(tasks)
  return {
    ...kept,
    ...(others.length === 0 ? {} : { extensions: Object.fromEntries(others) }),
    ...(isTold ? { tasks: withoutList(tasks) } : {}),
  }
}

/** What the merged endpoint says of tasks; which tools take part is said tool by tool, or call by call. */
export function mergedTasks (client: Era, version: string): Params {
  if (client === 'modern') return { extensions: { [tasksExtension]: {} } }
  return version >= since ? { tasks: { cancel: {}, requests: { tools: { call: {} } } } } : {}
}

function withoutList ({ list, ...tasks }: Params): Params {
  return tasks
}

/** The `task` member of a call as the upstream gets it: only what the specification knows, and only from a client that means the same by it. */
export function taskRequest (call: Call, upstream: Era): Params | undefined {
  const given = call.params['task']
  if (upstream !== 'legacy' || call.era !== 'legacy' || !isObject(given)) return undefined
  return Number.isSafeInteger(given['ttl']) ? { ttl: given['ttl'] } : {}
}

/** Whether this client can be told that its call became a task. */
export function takesTasks ({ envelope }: Call): boolean {
  const extensions = envelope?.capabilities['extensions']
  return isObject(extensions) && isObject(extensions[tasksExtension])
}

/** Whether an answer may hold the id of a task. */
export function concernsTask (call: Call, answer: Extract<Answer, { kind: 'result' }>): boolean {
  return call.task !== undefined || answer.resultType === 'task' || (call.era === 'legacy' && call.params['task'] !== undefined)
}

/** The JSON text of a result with every task id, wherever the two kinds of tasks have one, as `rename` has it. */
export function renameTasks (text: string, rename: (id: string) => string): string {
  const result = JSON.parse(text) as Params
  const { task } = result
  return JSON.stringify({
    ...renameIn(result, rename),
    ...(isObject(task) ? { task: renameIn(task, rename) } : {}),
    ...(isObject(result['_meta']) ? { _meta: renameRelated(result['_meta'], rename) } : {}),
  })
}

/** The same for the params of a question that came while a task was worked on. */
export function renameInQuestion (params: Params, rename: (id: string) => string): Params {
  return isObject(params['_meta']) ? { ...params, _meta: renameRelated(params['_meta'], rename) } : params
}

function renameRelated (meta: Params, rename: (id: string) => string): Params {
  const related = meta[relatedTask]
  return isObject(related) ? { ...meta, [relatedTask]: renameIn(related, rename) } : meta
}

function renameIn (given: Params, rename: (id: string) => string): Params {
  return typeof given['taskId'] === 'string' ? { ...given, taskId: rename(given['taskId']) } : given
}
