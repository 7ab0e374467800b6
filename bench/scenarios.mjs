// Under which load contenders are compared. `pad` asks for answers of so many bytes; requests are small, as they
// usually are, and a text of 20 bytes travels both ways.

export const scenarios = {
  small: { era: 'legacy', connections: 16 },
  large: { era: 'legacy', connections: 16, pad: 100 * 1024 },
  single: { era: 'legacy', connections: 1 },
  many: { era: 'legacy', connections: 64 },
  modern: { era: 'modern', connections: 16 },
}

/**
 * How much of it. `heat`: seconds of warming at most; `hot`: answers after which a contender is warm. `quietMs`: how long
 * to wait for others to leave the machine alone. `endsBy`: no further round is begun that would end after so many seconds.
 */
export const plans = {
  quick: { scenarios: ['small'], rounds: 2, seconds: 1, warmUp: 0.2, heat: 4, hot: 15_000, quietMs: 0, endsBy: 57 },
  full: { scenarios: ['small', 'large'], rounds: 5, seconds: 3, warmUp: 0.5, heat: 10, hot: 60_000, quietMs: 3_000, endsBy: 900 },
}
