/** What can stand in a roster: it keeps its place there, -1 when it has none. The place belongs to the roster. */
export interface Placed { place: number }

/**
 * Members that come and go with every call, each of which knows its place. Not a Set or a Map: those are rebuilt as calls run
 * through them, and each table that is given up points to the next. Once one of them is among V8's old objects, every
 * later table and every call it ever held stays alive until the next full collection.
 */
export class Roster<Member extends Placed> {
  readonly #members: Member[] = []

  get size (): number {
    return this.#members.length
  }

  /** Whoever is alone here. */
  get only (): Member | undefined {
    return this.#members.length === 1 ? this.#members[0] : undefined
  }

  /** False when it stands here already. */
  add (member: Member): boolean {
    if (member.place >= 0) return false
    member.place = this.#members.push(member) - 1
    return true
  }

  /** False when it does not stand here. */
  delete (member: Member): boolean {
    const { place } = member
    if (place < 0) return false
    member.place = -1
    const last = this.#members.pop()
    if (last === undefined || last === member) return true
    this.#members[place] = last
    last.place = place
    return true
  }

  /** A copy, since members may go while they are looked at. */
  all (): Member[] {
    return [...this.#members]
  }
}
