import type { Target } from '../call.ts'
import type { Config } from '../config/config.ts'
import { compileArguments } from './arguments.ts'
import type { ArgumentsCheck } from './arguments.ts'
import { compilePatterns } from './patterns.ts'
import { recordArguments } from './record.ts'

/** All guards of one configuration. */
export interface Guards {
  /** null, or one sentence that tells a model what to mend. */
  checkArguments (inputSchema: unknown, args: unknown): string | null
  /** The deny rule that matched, or null. */
  checkPatterns (args: unknown, target: Pick<Target, 'upstream' | 'name'>): { readonly name: string } | null
  /** What the record keeps of the arguments. */
  recordArguments (args: unknown, json?: string): { readonly text: string | undefined, readonly digest: (() => string) | undefined }
}

export function createGuards (config: Config): Guards {
  const patterns = compilePatterns(config.guards)
  /** By the schema object itself, which lives as long as its instance's tool list. */
  const checks = new WeakMap<object, ArgumentsCheck>()
  return {
    checkArguments (inputSchema, args) {
      if (typeof inputSchema !== 'object' || inputSchema === null) return compileArguments(inputSchema)(args)
      let check = checks.get(inputSchema)
      if (check === undefined) {
        check = compileArguments(inputSchema)
        checks.set(inputSchema, check)
      }
      return check(args)
    },
    checkPatterns: (args, { upstream, name }) => patterns.check(args, `${upstream}/${name}`),
    recordArguments: (args, json) => recordArguments(args, config.audit.arguments, config.audit.redact, json),
  }
}
