import type { Definition } from './series.ts'

/** What is counted where it happens. `docs/operations.md` describes every one; a test compares the two. */
export const counters = {
  calls: { name: 'portcullis_calls_total', help: 'Calls that reached the end of the pipeline, by how they ended.', labels: ['upstream', 'tool', 'outcome'] },
  refusals: { name: 'portcullis_refusals_total', help: 'Messages refused, by the stable code of the refusal.', labels: ['code'] },
  limits: { name: 'portcullis_limits_total', help: 'Decisions of the rate limits, by rule.', labels: ['rule', 'result'] },
  logins: { name: 'portcullis_logins_total', help: 'Attempts to log in.', labels: ['result'] },
  tokens: { name: 'portcullis_tokens_issued_total', help: 'Tokens handed out, by the grant they came of.', labels: ['grant'] },
  registrations: { name: 'portcullis_client_registrations_total', help: 'Clients that registered themselves.', labels: [] },
  reuse: { name: 'portcullis_token_reuse_total', help: 'Used refresh tokens and codes that came again; each ended a login.', labels: [] },
  restarts: { name: 'portcullis_instance_restarts_total', help: 'Upstream instances started again after they ended unasked.', labels: ['upstream', 'reason'] },
  noise: { name: 'portcullis_stdout_noise_total', help: 'Lines an upstream wrote to standard output that are no JSON-RPC message.', labels: ['upstream'] },
  dropped: { name: 'portcullis_dropped_messages_total', help: 'Messages of an upstream that nobody could be given.', labels: ['upstream', 'reason'] },
  egress: { name: 'portcullis_egress_total', help: 'Connections that upstreams asked for, allowed or denied.', labels: ['upstream', 'result'] },
  stderr: { name: 'portcullis_stderr_lines_total', help: 'Lines of standard error of upstreams that went to the log, by level.', labels: ['upstream', 'level'] },
  unrecorded: { name: 'portcullis_unrecorded_calls_total', help: 'Calls that went on without a record of their own, because audit.on_failure names their tool.', labels: ['upstream'] },
  appendFailures: { name: 'portcullis_ledger_append_failures_total', help: 'Records the audit log could not take; the call was refused.', labels: [] },
} as const satisfies Record<string, Definition<string>>

/** Durations are in seconds. */
export const histograms = {
  call: { name: 'portcullis_call_duration_seconds', help: 'From the first byte of a call to the last byte of its answer, upstream included.', labels: ['upstream'] },
  upstream: { name: 'portcullis_upstream_duration_seconds', help: 'From forwarding a call to the answer of the upstream.', labels: ['upstream'] },
} as const satisfies Record<string, Definition<string>>

/** What is read from its owner when somebody scrapes. */
export const gauges = {
  instances: { name: 'portcullis_instances', help: 'Upstream instances, by state.', labels: ['upstream', 'state'] },
  rss: { name: 'portcullis_instance_rss_bytes', help: 'Resident memory of the instances of an upstream.', labels: ['upstream'] },
  ready: { name: 'portcullis_upstream_ready', help: '1 while the live tool list of an upstream answers with something, 0 while it does not; no series while nobody can say.', labels: ['upstream'] },
  tools: { name: 'portcullis_upstream_tools', help: 'Tools in the last list of an upstream.', labels: ['upstream'] },
  rssMax: { name: 'portcullis_instance_rss_max_bytes', help: 'Resident memory of the largest instance of an upstream.', labels: ['upstream'] },
  processes: { name: 'portcullis_instance_processes', help: 'Processes of the instances of an upstream.', labels: ['upstream'] },
  openFiles: { name: 'portcullis_instance_open_fds', help: 'File descriptors the instances of an upstream have open.', labels: ['upstream'] },
  openFilesMax: { name: 'portcullis_instance_open_fds_max', help: 'File descriptors of the instance of an upstream that has most of them open.', labels: ['upstream'] },
  inFlight: { name: 'portcullis_upstream_requests_in_flight', help: 'Requests the instances of an upstream have not answered yet.', labels: ['upstream'] },
  queue: { name: 'portcullis_upstream_queue_depth', help: 'Who waits before an upstream is even asked, by what for.', labels: ['upstream', 'queue'] },
  unsandboxed: { name: 'portcullis_unsandboxed_upstreams', help: 'Upstreams that run without a sandbox, because the configuration and the command line say so.', labels: [] },
  sessions: { name: 'portcullis_sessions', help: 'Sessions of session-era clients that are open here.', labels: [] },
  streams: { name: 'portcullis_streams', help: 'Event streams that are open.', labels: [] },
  lagRecords: { name: 'portcullis_ledger_lag_records', help: 'Records that are durable on disk and not yet in the database.', labels: [] },
  lagBytes: { name: 'portcullis_ledger_lag_bytes', help: 'Bytes that are durable on disk and not yet in the database.', labels: [] },
  left: { name: 'portcullis_ledger_left_seconds', help: 'Until calls are refused because the database takes no records; +Inf while it takes them.', labels: [] },
  databaseUp: { name: 'portcullis_database_up', help: '1 while the database answers, 0 otherwise.', labels: [] },
  databasePool: { name: 'portcullis_database_pool', help: 'Connections of the pool, and requests waiting for one.', labels: ['state'] },
  buildInfo: { name: 'portcullis_build_info', help: 'Always 1; the labels say what is running.', labels: ['version', 'node', 'config'] },
} as const satisfies Record<string, Definition<string>>

/** Read when somebody scrapes, too, but only ever growing. */
export const readCounters = {
  cpu: { name: 'portcullis_instance_cpu_seconds_total', help: 'Processor time of the instances of an upstream, stopped ones included.', labels: ['upstream'] },
} as const satisfies Record<string, Definition<string>>

/** Seconds; from half a millisecond, which a cached answer takes, to the default time-out of a call. */
export const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60] as const
