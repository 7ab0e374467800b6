import type { Call } from '../call.ts'
import { rawArguments } from '../protocol/strict-json.ts'

/**
 * The JSON text of `params.arguments`; undefined without any. As it was sent where writing it anew would change numbers.
 * Made once a call: the record and the upstream get the same characters.
 */
export function argumentsText (call: Call): string | undefined {
  call.argumentsText ??= call.exotic ? rawArguments(call.text) : JSON.stringify(call.params['arguments'])
  return call.argumentsText
}
