import { RE2JS } from 're2js'

export interface LinearPattern { test (text: string): boolean }

/** Compiles a pattern in RE2 syntax for the linear-time engine. Throws. */
export function compileLinear (pattern: string, flags = 0): LinearPattern {
  return RE2JS.compile(pattern, flags)
}

const maxLength = 1000
/** Instructions of the compiled program; repeated counts multiply it. */
const maxProgram = 5000

/** Compiles a stranger's JavaScript pattern. Throws when it needs backtracking, or is too large. */
export function compileForeign (pattern: string): LinearPattern {
  if (pattern.length > maxLength) throw new Error(`a pattern may have ${maxLength} characters, this one has ${pattern.length}`)
  const compiled = RE2JS.compile(RE2JS.translateRegExp(pattern), RE2JS.LOOKBEHINDS)
  if (compiled.programSize() > maxProgram) throw new Error('the pattern is too large once its repetitions are written out')
  return compiled
}
