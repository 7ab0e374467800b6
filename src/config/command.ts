/** A command line, split; or what is wrong with it and how many characters in. */
export type Words = { readonly words: readonly string[] } | { readonly problem: string, readonly offset: number }

const instead = 'there is no shell here: use the list form ([program, argument, …]) or a wrapper script'

/**
 * Splits a command line as a POSIX shell would, without being one: quotes and backslashes are respected, `${…}` stays
 * one piece, and whatever only a shell could do is a problem.
 */
export function splitCommand (line: string): Words {
  const words: string[] = []
  let word: string | undefined
  let offset = 0
  while (offset < line.length) {
    const piece = nextPiece(line, offset, word === undefined)
    if ('problem' in piece) return piece
    if (piece.text === undefined) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + piece.text
    }
    offset += piece.length
  }
  if (word !== undefined) words.push(word)
  if (words.length === 0 || words[0] === '') return { problem: 'is empty: name the program to run', offset: 0 }
  if (/^[A-Za-z_][A-Za-z0-9_]*=/.test(words[0] ?? '')) return { problem: `begins with the variable ${words[0]?.split('=')[0]}: variables belong under "env"`, offset: 0 }
  return { words }
}

/** `text` undefined: a gap between words. */
type Piece = { readonly text: string | undefined, readonly length: number } | { readonly problem: string, readonly offset: number }

function nextPiece (line: string, offset: number, atStart: boolean): Piece {
  const character = line[offset] ?? ''
  if (character === '\n') return /\S/.test(line.slice(offset)) ? { problem: `holds more than one line: ${instead}`, offset } : { text: undefined, length: 1 }
  if (/\s/.test(character)) return { text: undefined, length: 1 }
  if (character === "'") return singleQuoted(line, offset)
  if (character === '"') return doubleQuoted(line, offset)
  if (character === '\\') return escaped(line, offset)
  if (character === '$') return dollar(line, offset)
  if (character === '`') return { problem: `holds a command substitution (\`): ${instead}`, offset }
  if ('|;&<>()'.includes(character)) return { problem: `holds the shell operator "${operator(line, offset)}": ${instead}`, offset }
  if (character === '#' && atStart) return { problem: `holds a shell comment (#): ${instead}, or put the word in quotes`, offset }
  if (character === '~' && atStart) return { problem: '"~" is not expanded: write the full path', offset }
  return { text: character, length: 1 }
}

function operator (line: string, offset: number): string {
  return /^(?:\|\||&&|>>|<<|.)/s.exec(line.slice(offset))?.[0] ?? ''
}

function singleQuoted (line: string, offset: number): Piece {
  const end = line.indexOf("'", offset + 1)
  if (end === -1) return { problem: "has an opening ' without a closing one", offset }
  return { text: line.slice(offset + 1, end), length: end + 1 - offset }
}

function doubleQuoted (line: string, offset: number): Piece {
  let text = ''
  let at = offset + 1
  while (at < line.length && line[at] !== '"') {
    const piece = quotedPiece(line, at)
    if ('problem' in piece) return piece
    text += piece.text ?? ''
    at += piece.length
  }
  if (at >= line.length) return { problem: 'has an opening " without a closing one', offset }
  return { text, length: at + 1 - offset }
}

function quotedPiece (line: string, offset: number): Piece {
  const character = line[offset] ?? ''
  if (character === '\\' && '"\\$`'.includes(line[offset + 1] ?? ' ')) return escaped(line, offset)
  if (character === '$') return dollar(line, offset)
  if (character === '`') return { problem: `holds a command substitution (\`): ${instead}`, offset }
  return { text: character, length: 1 }
}

/** Outside of single quotes a backslash takes the next character as it is; a `$` so taken must not become a reference. */
function escaped (line: string, offset: number): Piece {
  const next = line[offset + 1]
  if (next === undefined) return { problem: 'ends with a backslash', offset }
  if (next === '$' && line[offset + 2] === '{') return { text: '$${', length: 3 }
  return { text: next, length: 2 }
}

function dollar (line: string, offset: number): Piece {
  const rest = line.slice(offset)
  const reference = /^\$\$\{|^\$\{[^}]*\}?/.exec(rest)?.[0]
  if (reference !== undefined) return { text: reference, length: reference.length }
  if (rest.startsWith('$(')) return { problem: `holds a command substitution ($(): ${instead}`, offset }
  const variable = /^\$([A-Za-z_][A-Za-z0-9_]*)/.exec(rest)?.[1]
  if (variable !== undefined) return { problem: `holds the shell variable $${variable}: write \${env:${variable}}`, offset }
  return { text: '$', length: 1 }
}
