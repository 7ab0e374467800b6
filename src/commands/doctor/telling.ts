/** Most of what a server that dies writes is a stack; these lines say what was the matter. The first pattern that meets one counts. */
const telling: readonly RegExp[] = [
  /^(Uncaught )?[\w.]*(Error|Exception)( \[\w+\])?: /,
  /\b(errors?|fatal|panic(ked)?|cannot|can't|could not|couldn't|not found|no such|denied|refused|fail(ed|ure)?|missing|required|must|usage)\b/i,
]

const shown = 3

/** Of the lines a server wrote before it ended, the one to read first; the last few when none stands out. */
export function mostTelling (lines: readonly string[]): string {
  for (const pattern of telling) {
    const line = lines.findLast((each) => pattern.test(each) && !isFrame.test(each))
    if (line !== undefined) return line.trim()
  }
  return lines.slice(-shown).join(' / ')
}

/** Of a stack, in JavaScript and in Python. */
const isFrame = /^\s*(at \S|File ")/
