"""Celery's settings, each with its reason.

Postgres is the job and a message is only a hint, so everything here favours failing fast and
forgetting over holding on: a hint that is lost is published again by the keeper, one that is
doubled finds nothing to claim. The names are those of Celery 5.7 (`celery/app/defaults.py`) and of
kombu's Redis transport (`kombu/transport/redis.py`); a test refuses any other.

Start workers with ``--without-gossip --without-mingle``: both talk to other workers through the
broker about things that only Postgres knows here, and neither can be switched off by a setting.
"""

from __future__ import annotations

from kombu import Queue

from academy.errors import BadSetting
from academy.queues import CURATION, QUEUES, TASKS
from academy.settings import Settings

# The address comes from ACADEMY_REDIS_URL, like every setting of Academy; without one Celery would
# silently look for RabbitMQ on this machine.
broker_url = Settings.from_env().redis.url
if not broker_url:
    raise BadSetting(name="ACADEMY_REDIS_URL", value="", allowed="a redis:// or rediss:// URL")

# --- queues ---------------------------------------------------------------------------------------

# The two queues are declared here and nowhere else, so that a worker's -Q can name no third one.
# Nothing is acknowledged: a worker whose acknowledgement was lost with the connection would count
# the message as unfinished for ever, and with no prefetch it would never take another one. Who dies
# with a hint in hand loses a hint, which the keeper repeats.
task_queues = [Queue(name, routing_key=name, no_ack=True) for name in QUEUES]
# A misspelt queue must be an error at once, not a list in Redis that nobody reads.
task_create_missing_queues = False
# A task that somebody forgot to route lands where it can occupy no GPU.
task_default_queue = CURATION
# Only the queue is named: Celery then publishes straight into that list, without the binding table
# that a flush of Redis would erase.
task_routes = {task: {"queue": queue} for queue, task in TASKS.items()}

# --- messages -------------------------------------------------------------------------------------

# A hint names no job and carries no argument; JSON can say that, and nobody can turn it into code.
task_serializer = "json"
# For the same reason a worker refuses anything but JSON, above all pickle.
accept_content = ["json"]
# Times in messages and logs are UTC on every host, whatever its zone.
enable_utc = True
# It is named as well because Celery would otherwise ask the host for its zone.
timezone = "UTC"

# --- results --------------------------------------------------------------------------------------

# A job's outcome is its row in Postgres; nobody would read a second copy.
task_ignore_result = True
# Without a backend no code can begin to depend on one.
result_backend = None

# --- taking and acknowledging ---------------------------------------------------------------------

# Nothing is acknowledged (see the queues), least of all after the work: Redis would deliver such a
# message again after the visibility time-out however well the job runs (celery#5935), and the
# lease in Postgres does better.
task_acks_late = False
# A process takes one message at a time, since the next job may suit another worker better.
worker_prefetch_multiplier = 1
# The multiplier still lets the transport fetch one message ahead; this stops it until the job is
# done.
worker_disable_prefetch = True
# Losing Redis must not stop a training that Postgres knows about.
worker_cancel_long_running_tasks_on_connection_loss = False

# --- the process ----------------------------------------------------------------------------------

# One process is one slot: the supervisor of the job runs in its main thread, where SIGTERM reaches
# it at once, and a SIGKILL takes everything, so no orphaned pool child can go on holding a GPU.
# Several slots are several processes. Recycling by tasks or by memory has no meaning here (the pool
# has no children) and no use (the trainer is a fresh process for each job, as CUDA demands).
worker_pool = "solo"
# The solo pool has one slot; the number is said because the prefetch limit is computed from it.
worker_concurrency = 1
# Cancel and pause travel in the renewal of the lease, so they work with Redis down; a remote
# control would be a second way that does not.
worker_enable_remote_control = False
# A soft shutdown sleeps inside the signal handler, which in this pool is the supervisor's own
# thread: it would freeze the drain that it means to allow. The supervisor bounds its drain itself.
worker_soft_shutdown_timeout = 0.0
# Nobody listens to Celery's events: what happens to a job is in its own stream.
worker_send_task_events = False
# The processes of Academy share one logging setup (academy/logs.py), which Celery must not replace.
worker_hijack_root_logger = False
# Standard output belongs to that setup as well, so it is not turned into warnings of a logger.
worker_redirect_stdouts = False

# --- the connection -------------------------------------------------------------------------------

# A worker that starts before Redis waits for it instead of exiting.
broker_connection_retry_on_startup = True
# It also waits however long a restart of Redis takes; Celery would give up after 100 tries.
broker_connection_max_retries = None
# Reaching Redis is a matter of milliseconds, so five seconds without an answer mean that it is
# gone.
broker_connection_timeout = 5
# Hints go over a connection that their sender keeps; whoever else publishes waits this many seconds
# for a free one of the pool.
broker_pool_acquire_timeout = 5
broker_transport_options = {
    # Nothing waits to be acknowledged, so nothing is delivered again; it bounds how long anything
    # could be that lies there from before.
    "visibility_timeout": 600,
    # The default is to wait for ever, which hangs a publish, and the request behind it, when Redis
    # stops answering. A worker's blocking pop comes back every second, so it is not cut off.
    "socket_timeout": 5,
    # The same for opening a connection, where the kernel alone would try for two minutes.
    "socket_connect_timeout": 5,
    # The kernel notices dead peers of connections that idle for hours behind a firewall.
    "socket_keepalive": True,
    # A connection that was silent for this long is tested by a PING before it is trusted again.
    "health_check_interval": 25,
}
# Hints are never tried again (academy/jobs/broker.py), for the keeper does that; what else is sent
# through this configuration is tried twice within a second.
task_publish_retry_policy = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
}
