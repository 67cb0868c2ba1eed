// The answers of the dashboard's server, as internal/dashboard/model and internal/liveapi define them. Times are RFC 3339, durations seconds.

export interface Part {
  at: string;
  /** Sentences about what is missing in the answer, and why. */
  notes?: string[];
}

export interface Component {
  image: string;
  desired: number;
  ready: number;
  updated: number;
}

export interface Figures {
  calls: number;
  perSecond: number;
  successes: number;
  retries: number;
  p50Seconds?: number;
  p99Seconds?: number;
}

export interface Names {
  namespaces: string[];
  policies: string[];
  workloads: string[];
  destinations: string[];
  nodes: string[];
}

export interface Cluster extends Part {
  context?: string;
  server?: string;
  version: string;
  manager?: Component;
  agents?: Component;
  policies: { all: number; ready: number; attention: number };
  breakersOpen: number;
  total: Figures;
  names: Names;
}

export interface Point {
  calls: number;
  successes: number;
  retries?: number;
  p50Seconds?: number;
  p99Seconds?: number;
}

export interface Series {
  from: string;
  to: string;
  stepSeconds: number;
  points: Point[];
}

export type BreakerState = "open" | "half_open" | "closed";

export interface Flow extends Figures {
  namespace?: string;
  workload?: string;
  policy?: string;
  target?: string;
  destination?: string;
  service?: string;
  protocol?: string;
  breaker?: string;
}

export interface Overview extends Part {
  total: Figures;
  series: Series;
  flows: Flow[];
  leftOut?: number;
  leftOutCalls?: number;
  other?: number;
}

export type PolicyState = "ready" | "attention" | "notReady" | "unseen";

export interface PolicyRow {
  key: string;
  kind: string;
  mode?: string;
  to?: string;
  state: PolicyState;
  reasons?: string[];
  message?: string;
  pods: number;
  nodes: number;
  programmed: number;
  failed?: number;
  figures?: Figures;
  breaker?: string;
}

export interface Policies extends Part {
  items: PolicyRow[];
}

/** Traffic is that under one policy at one of its destinations in the last minute. */
export interface Traffic extends Figures {
  policy: string;
  target: string;
  breakersOpen?: number;
  breakersHalfOpen?: number;
  breakerSeconds?: number;
  ejected?: number;
  connections?: number;
}

export interface Breakers extends Part {
  items: Traffic[];
}

export interface AgentState {
  podUID: string;
  version?: string;
  missing?: string[];
}

export interface NodeRow {
  node: string;
  agents: AgentState[];
  pods: number;
  notProgrammed?: number;
}

export interface Nodes extends Part {
  items: NodeRow[];
}

export interface Change {
  at: string;
  kind: string;
  policy?: string;
  node?: string;
  /** The destination of the policy that a breaker's opening or closing is about, as in Flow. */
  target?: string;
  note?: string;
  /** Who has changed the policy's spec, by managedFields, and how: Apply or Update. */
  fieldManager?: string;
  operation?: string;
}

export interface Changes extends Part {
  series: Series;
  items: Change[];
  more?: boolean;
}

export interface Finding {
  group: string;
  result: string;
  what: string;
  fix?: string;
  docs?: string;
}

export interface Problems extends Part {
  problems: number;
  warnings: number;
  findings: Finding[];
}

export interface Condition {
  type: string;
  status: string;
  reason: string;
  message: string;
  since: string;
}

export interface Target {
  to: string;
  protocol?: string;
  endpoints?: number;
  ejected?: number;
  enforced?: string;
  breaker?: string;
  breakersOpen?: number;
  breakerSeconds?: number;
  tlsFailures?: string[];
  connections?: number;
  figures?: Figures;
}

export interface Field {
  field: string;
  value: string;
  source: string;
  default?: boolean;
}

export interface Rule {
  name: string;
  fields: Field[];
}

export interface Merge {
  destination: string;
  policies: string[];
  dryRun?: boolean;
  pods: string[];
  allPods: number;
  fields: Field[];
  rules?: Rule[];
}

export interface Policy extends Part, PolicyRow {
  created: string;
  generation: number;
  inForce: number;
  selects: string;
  conditions: Condition[];
  targets: Target[];
  nodeFailures?: { node: string; reason: string; message?: string }[];
  refused?: string[];
  notEnforced?: { field: string; reason: string; destination?: string }[];
  merges: Merge[];
  mergesLeftOut?: number;
  series: Series;
  flows: Flow[];
  changes: Change[];
}

export interface Endpoint {
  address: string;
  nodes: number;
  ejected?: number;
  probed?: number;
  outstanding: number;
  weight: number;
  ejections?: number;
  since?: string;
  until?: string;
}

export interface NodeBreaker {
  node: string;
  policy: string;
  target: string;
  destination: string;
  rule?: string;
  pod?: string;
  passedThrough?: boolean;
  dryRun?: boolean;
  state: string;
  since?: string;
  until?: string;
  openedBy?: string;
  opened: number;
}

export interface Share {
  node: string;
  pod?: string;
  max: number;
  waiting?: number;
  inUse?: number;
}

export interface Limit {
  policy: string;
  target: string;
  rule?: string;
  kind: string;
  scope: string;
  max: number;
  adaptive?: boolean;
  waiting: number;
  inUse?: number;
  shares: Share[];
  leftOut?: number;
}

export interface Destination extends Part {
  name: string;
  service?: string;
  total: Figures;
  series: Series;
  flows: Flow[];
  agents: number;
  asked: number;
  endpoints: Endpoint[];
  breakers: NodeBreaker[];
  closedBreakers: number;
  breakersLeftOut?: number;
  limits: Limit[];
  timeline: Change[];
}

export interface Attempt {
  endpoint?: string;
  start: string;
  result: string;
  detail?: string;
  reused?: boolean;
  tookSeconds: number;
}

export interface Call {
  pod: string;
  workload?: string;
  policy: string;
  target: string;
  rule?: string;
  method?: string;
  host?: string;
  path?: string;
  to: string;
  status?: number;
  grpcStatus?: string;
  kind: string;
  cause?: string;
  decision: string;
  detail?: string;
  fallback?: string;
  truncated?: boolean;
  dryRun?: { policy: string; would: string; afterSeconds: number; detail?: string };
  headSeconds: number;
  tookSeconds: number;
  attempts: number;
  tried?: Attempt[];
  traceId?: string;
}

export interface TapLine {
  at: string;
  node: string;
  dropped?: number;
  call?: Call;
}

/** Versions numbers the state of topics: only whether one differs says something. */
export type Versions = Record<string, number>;

export type Topic = "traffic" | "policies" | "nodes" | "changes" | "problems";
