// What the API answers, as far as the page reads it, for the type checker alone: nothing of this file
// is served. A test holds each `interface` that is named as a schema of openapi.json against it.

/** A field of an answer whose values the schema leaves open. */
export type Open = Record<string, unknown>;

export interface Failure {
  code: string;
  message: string;
  next_step: string;
}

export interface JobShown {
  job_id: string;
  kind: string;
  status: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  attempt: number;
  progress: number | null;
  eta_seconds: number | null;
  eta_low: number | null;
  eta_high: number | null;
  failure: Failure | null;
}

export interface JobsPage {
  jobs: JobShown[];
  has_more: boolean;
}

export interface JobStatus extends JobShown {
  obstacle: string | null;
  result: { summary?: { preflight?: Foreseen } } | null;
}

export interface TrainingStarted {
  job_id: string;
}

export interface JobMoved {
  job_id: string;
  status: string;
}

/** What a training's preflight predicted, and what was measured. */
export interface Foreseen {
  predicted_memory_bytes: number | null;
  measured_memory_bytes: number | null;
  predicted_seconds: number | null;
  measured_seconds: number | null;
  tried?: { recipe: string; why?: string }[];
}

export interface PreflightShown {
  verdict: "ready" | "no_worker" | "no_rows";
  message: string;
  total_steps: number;
  tokens: TokensShown;
  worker_types: ForecastShown[];
}

export interface TokensShown {
  usable_rows: number;
  truncated_rows: number;
  tokens: number;
  supervised_tokens: number;
}

export interface ForecastShown {
  device: string;
  could_take_it: boolean;
  why_not: string[];
  memory: Record<string, number> | null;
  memory_available_bytes: number | null;
  seconds: number | null;
  seconds_low: number | null;
  seconds_high: number | null;
}

export interface DatasetShown {
  dataset_id: string;
  format: string;
  train_rows: number;
  heldout_rows: number;
  statistics: Statistics;
  dataset_path: string;
  created_at: string;
}

export interface DatasetsPage {
  datasets: DatasetShown[];
}

export interface DatasetCurated {
  dataset_id: string;
  dataset_path: string;
  statistics: Statistics;
}

export interface CurationStarted {
  job_id: string;
  status: string;
}

/** What a curation counted: by name, and the rows that each filter dropped. */
export interface Statistics {
  total_examples: number;
  filters?: Record<string, number>;
  [figure: string]: unknown;
}

export interface AdapterShown {
  adapter_id: string;
  base_model: string;
  created_at: string;
  training_params: Open;
  is_active: boolean;
  aliases: string[];
  digest: string;
  dataset_id: string | null;
  metrics: Proof;
}

/** Loss on held-out rows per answer token, in nats, before and after. */
export interface Proof {
  base_loss?: number | null;
  adapter_loss?: number | null;
  gain?: { mean: number; low: number | null; high: number | null; n: number } | null;
}

export interface AliasMoveShown {
  generation: number;
  from_adapter_id: string | null;
  to_adapter_id: string | null;
}

export interface AliasHistory {
  moves: AliasMoveShown[];
}

export interface AliasMoved {
  swap_seconds: number;
}

export interface ScheduleShown {
  name: string;
  kind: string;
  every: number | null;
  cron: string | null;
  time_zone: string;
  enabled: boolean;
  next_at: string | null;
  last_at: string | null;
  last_outcome: "submitted" | "refused" | "skipped" | null;
  last_job_id: string | null;
  last_refusal: Failure | null;
  last_skip: SkipShown | null;
}

export interface SkipShown {
  message: string;
}

export interface SchedulesPage {
  schedules: ScheduleShown[];
}

export interface SweepSummary {
  sweep_id: string;
  name: string | null;
  status: string;
  method: string;
  ended_because: string | null;
  max_trials: number;
}

export interface SweepShown extends SweepSummary {
  trials: TrialShown[];
  best: TrialShown | null;
  note: string | null;
}

export interface TrialShown {
  number: number;
  job_id: string;
  status: string;
  values: Open;
  loss: number | null;
  stopped_because: string | null;
  failure: Failure | null;
}

export interface SweepsPage {
  sweeps: SweepSummary[];
}

export interface SystemStatus {
  components: Record<string, boolean>;
  gpu: Gpu;
  lessons: { total_lessons: number } & Record<string, number>;
  jobs: { total: number } & Record<string, number>;
  config: Open;
  workers: WorkerShown[];
  queues: Record<string, number>;
  runtimes: Runtime[];
  versions: { academy: string } & Record<string, string>;
}

export interface Gpu {
  available: boolean;
  enabled: boolean;
  devices: Device[];
}

/** A GPU; what its driver does not tell is null. */
export interface Device {
  uuid?: string | null;
  name: string | null;
  memory_used_bytes?: number | null;
  memory_total_bytes?: number | null;
  utilization_percent?: number | null;
  job_id?: string | null;
  obstacle?: string | null;
}

export interface WorkerShown {
  queue: string;
  host: string;
  pid: number;
  state: string;
  job_id: string | null;
  obstacle: string | null;
  gpus: Device[];
  last_seen_at: string;
}

export interface Runtime {
  url: string;
  state: string;
  detail: string;
}

/** `application/problem+json`. */
export interface Problem {
  detail: string;
  code: string;
  next_step?: string | null;
  errors: FieldError[];
}

export interface FieldError {
  pointer?: string;
  detail: string;
  allowed?: string;
}

/** The latest figures of a training, or of any job that tells its progress. */
export interface Figures {
  step: number;
  total_steps?: number;
  epoch?: number;
  loss?: number | null;
  progress?: number | null;
  tokens_per_second?: number | null;
  eta_seconds?: number | null;
  eta_low?: number | null;
  eta_high?: number | null;
}

/** A numbered event of a job, as a watcher gets it. */
export type JobEvent = { timestamp: string } & (
  | { type: "connected" }
  | { type: "log"; message: string; level?: string }
  | { type: "stage"; message: string }
  | { type: "error"; code?: string; message: string; next_step?: string | null }
  | ({ type: "metrics" } & Figures)
  | { type: "evaluation"; name: string; step: number; loss: number | null; rows: number }
  | { type: "checkpoint"; step: number }
  | { type: "progress"; progress?: number | null }
  | { type: "truncated" }
  | { type: "status"; status: string; failure?: Failure | null }
);
