import type { Config, UpstreamSpec } from '../config/config.ts'
import type { Secrets } from '../config/secrets.ts'
import { Refusal } from '../errors.ts'
import type { Exit } from '../sandbox/cell.ts'
import type { Instance } from './instance.ts'
import { needsUser } from './needs-user.ts'
import type { Owner } from './seat.ts'
import type { SupervisorEvents } from './starter.ts'
import type { Supervisor } from './supervisor.ts'
import { answered, blank, judge } from './upstream-health.ts'
import type { Memory, UpstreamHealth } from './upstream-health.ts'

/** For whom an instance of an upstream is started that is only looked at. */
function lookout (upstream: string): Owner {
  return { user: { id: `health:${upstream}`, name: 'health' }, session: undefined }
}

/** Upstreams that are looked at at the same time. */
const atOnce = 2
/** Instances of one upstream that are asked when the first does not answer. */
const mostAsked = 2
/** Starting a server only to see whether it starts costs more than asking one that is up. */
const idleRounds = 10

type Watched = Pick<Supervisor, 'instances' | 'instance' | 'endUser' | 'fits' | 'isBroken'>

interface Post extends Memory { readonly spec: UpstreamSpec, looking: boolean, lookedAt: number, dueAt: number, complaint: string | undefined }

/**
 * Knows of every upstream whether its live tool list answers, without anybody who asks starting anything: instances
 * that are up are asked for their list every `health.every`; where none is, one is started for nobody and ended again,
 * ten times less often while it works.
 */
export class UpstreamWatch {
  readonly #posts: ReadonlyMap<string, Post>
  readonly #every: number
  readonly #mayStart: boolean
  readonly #secrets: Secrets
  #supervisor: Watched | undefined
  #timer: NodeJS.Timeout | undefined

  constructor ({ upstreams, health }: Pick<Config, 'upstreams' | 'health'>, secrets: Secrets) {
    this.#posts = new Map([...upstreams].map(([name, spec]) => [name, { ...blank(spec), spec, looking: false, lookedAt: 0, dueAt: 0, complaint: undefined }]))
    this.#every = health.every
    this.#mayStart = health.probe
    this.#secrets = secrets
  }

  get all (): UpstreamHealth[] {
    return [...this.#posts.values()].map(judge)
  }

  /** The same events, from which it learns. */
  hearing (events: SupervisorEvents): SupervisorEvents {
    return {
      ...events,
      started: (instance, milliseconds) => {
        this.#started(instance, milliseconds)
        events.started(instance, milliseconds)
      },
      exited: (instance, exit, expected) => {
        if (!expected) this.#crashed(instance.upstream, exit)
        events.exited(instance, exit, expected)
      },
      failed: (upstream, owner, reason) => {
        this.#failed(upstream, owner, reason)
        events.failed(upstream, owner, reason)
      },
    }
  }

  begin (supervisor: Watched): void {
    this.#supervisor = supervisor
    this.#timer = setInterval(() => this.#tick(supervisor), Math.min(1_000, this.#every)).unref()
    this.#tick(supervisor)
  }

  /** Looks at every upstream once; then it is known how they are. */
  async lookOnce (supervisor: Watched): Promise<void> {
    this.#supervisor = supervisor
    const posts = [...this.#posts.values()]
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let post = posts.shift(); post !== undefined; post = posts.shift()) await this.#look(post, supervisor)
    }))
  }

  /** Looks no more; what is under way comes to nothing. */
  close (): Promise<void> {
    clearInterval(this.#timer)
    this.#supervisor = undefined
    return Promise.resolve()
  }

  #tick (supervisor: Watched): void {
    const posts = [...this.#posts.values()]
    const due = posts.filter(({ looking, dueAt }) => !looking && dueAt <= Date.now()).sort((left, right) => left.dueAt - right.dueAt)
    const free = atOnce - posts.filter(({ looking }) => looking).length
    for (const post of due.slice(0, Math.max(0, free))) void this.#look(post, supervisor)
  }

  async #look (post: Post, supervisor: Watched): Promise<void> {
    post.looking = true
    post.lookedAt = Date.now()
    try {
      const isUp = await this.#askThoseUp(post, supervisor) || await this.#startOne(post, supervisor)
      post.dueAt = Date.now() + this.#every * (isUp || judge(post).state === 'failing' ? 1 : idleRounds)
    } catch (error) {
      if (!isOurs(error)) post.failure ??= reasonOf(error)
      post.dueAt = Date.now() + this.#every
    } finally {
      post.looking = false
    }
  }

  /** One user may have brought their own instance to a halt, so one that does not answer says nothing yet. */
  async #askThoseUp (post: Post, supervisor: Watched): Promise<boolean> {
    const up = [...supervisor.instances()].filter(({ upstream }) => upstream === post.spec.name)
    for (const instance of up.slice(-mostAsked)) if (await this.#answers(post, instance)) return true
    return up.length > 0 && post.spec.isolation === 'shared'
  }

  /** @returns false: there is nothing up that could be asked again soon */
  async #startOne (post: Post, supervisor: Watched): Promise<boolean> {
    const { name, isolation } = post.spec
    post.obstacle = this.#mayStart ? needsUser(post.spec, this.#secrets) : 'It is not in use, and health.probe is off.'
    if (post.obstacle !== undefined) {
      if (supervisor.isBroken(name)) post.failure = post.complaint
      return false
    }
    if (!supervisor.fits(name)) return true // users come first
    const owner = lookout(name)
    const isWell = await this.#answers(post, await supervisor.instance(name, owner, 'legacy'))
    // After a crash it has to last until the next look.
    if (isolation === 'shared' || (isWell && post.crashes > 0)) return true
    await supervisor.endUser(owner.user.id)
    return false
  }

  async #answers (post: Post, instance: Instance): Promise<boolean> {
    const begun = Date.now()
    try {
      await instance.relist()
    } catch (error) {
      if (!isOurs(error)) post.failure = `Its tool list does not answer: ${reasonOf(error)}`
      return false
    }
    this.#answered(instance, Date.now() - begun)
    if (post.crashes === 0 && instance.owner === lookout(post.spec.name).user.id) await this.#supervisor?.endUser(instance.owner)
    return true
  }

  /** That it starts and lists once does not mend what failed or kept ending: a look does, which follows. */
  #started (instance: Instance, milliseconds: number): void {
    const post = this.#posts.get(instance.upstream)
    if (post === undefined || instance.owner === lookout(instance.upstream).user.id) return
    if (post.failure === undefined && post.crashes === 0) this.#answered(instance, milliseconds)
    else this.#lookSoon(post)
  }

  #answered ({ upstream, era, offers, startedAt }: Instance, milliseconds: number): void {
    const post = this.#posts.get(upstream)
    if (post === undefined || offers === undefined) return
    answered(post, { tools: offers, era, at: Date.now(), milliseconds }, Date.now() - startedAt >= this.#every)
  }

  #crashed (upstream: string, { code, signal, detail }: Exit): void {
    const post = this.#posts.get(upstream)
    if (post === undefined) return
    post.crashes++
    post.crash = detail ?? `it ended with ${signal ?? `code ${code}`}.`
    this.#lookSoon(post)
  }

  /** One user's failure may be their own secret's; whether it is everybody's, a look says. */
  #failed (upstream: string, owner: string, reason: string): void {
    const post = this.#posts.get(upstream)
    if (post === undefined) return
    post.complaint = `It does not start: ${reason}`
    if (owner === lookout(upstream).user.id || owner === '*') post.failure = post.complaint
    this.#lookSoon(post)
  }

  #lookSoon (post: Post): void {
    post.dueAt = Math.min(post.dueAt, post.lookedAt + this.#every)
  }
}

/** Says something of the gateway, and nothing of the upstream. */
function isOurs (error: unknown): boolean {
  return error instanceof Refusal && (error.code === 'PORTCULLIS_OVERLOADED' || error.code === 'PORTCULLIS_SHUTTING_DOWN')
}

function reasonOf (error: unknown): string {
  const { cause } = error instanceof Error ? error : { cause: undefined }
  return cause instanceof Error ? cause.message : error instanceof Error ? error.message : String(error)
}
