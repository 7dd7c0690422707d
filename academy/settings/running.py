"""How jobs are held, repeated and given up, and what a worker's host gives them."""

from __future__ import annotations

from dataclasses import dataclass

from academy.errors import BadSetting
from academy.settings import forms
from academy.settings.rules import setting


@dataclass(frozen=True)
class Jobs:
    """Leases, retries and the ends of jobs."""

    lease_seconds: float = setting(
        "ACADEMY_LEASE_SECONDS",
        60.0,
        "time after which a silent worker's job is given to another",
        low=0.5,
    )
    heartbeat_seconds: float = setting(
        "ACADEMY_HEARTBEAT_SECONDS",
        10.0,
        "interval at which a worker renews its lease",
        low=0.05,
    )
    keeper_seconds: float = setting(
        "ACADEMY_KEEPER_SECONDS", 5.0, "interval of the keeper's sweeps", low=0.05
    )
    hint_seconds: float = setting(
        "ACADEMY_HINT_SECONDS",
        20.0,
        "age at which the keeper publishes a queued job's hint again",
        low=0.1,
    )
    cancel_grace_seconds: float = setting(
        "ACADEMY_CANCEL_GRACE_SECONDS",
        10.0,
        "time between SIGTERM and SIGKILL for a process that is asked to stop",
        low=0.1,
    )
    pause_grace_seconds: float = setting(
        "ACADEMY_PAUSE_GRACE_SECONDS",
        120.0,
        "time that a trainer has to write its checkpoint when it is paused or drained",
        low=1,
    )
    timeout_seconds: float = setting(
        "ACADEMY_JOB_TIMEOUT_SECONDS",
        172800.0,
        "longest wall-clock time of one attempt of a job",
        low=1,
    )
    blind_seconds: float = setting(
        "ACADEMY_BLIND_SECONDS",
        900.0,
        "time that a trainer goes on while Postgres cannot be reached",
        low=1,
    )
    max_crashes: int = setting(
        "ACADEMY_MAX_CRASHES",
        3,
        "crashes without checkpoint progress after which a job fails",
        low=1,
        high=100,
    )
    retry_seconds: float = setting(
        "ACADEMY_RETRY_SECONDS",
        5.0,
        "first back-off before a retry; doubles each time, with jitter",
        low=0,
    )

    @property
    def look_seconds(self) -> float:
        """Interval at which a worker asks between heart-beats what is wanted of it: a tenth.

        Heart-beats of less than 2 s are for tests and drills; more than five such questions a
        second would cost them more than the work that they are about.
        """
        return max(self.heartbeat_seconds / 10, min(0.2, self.heartbeat_seconds / 2))

    def require_sense(self) -> None:
        """Raise `BadSetting` where a worker would lose its lease between two heart-beats.

        Two fit into a lease, as one that is late or lost is to cost no job.
        """
        if self.heartbeat_seconds > self.lease_seconds / 2:
            raise BadSetting(
                name="ACADEMY_HEARTBEAT_SECONDS",
                value=self.heartbeat_seconds,
                allowed=f"at most half of ACADEMY_LEASE_SECONDS, which is {self.lease_seconds}",
            )


@dataclass(frozen=True)
class Host:
    """A worker's host and its GPUs."""

    name: str = setting(
        "ACADEMY_HOST_NAME",
        "",
        "name of this worker's host among the others'; empty: the machine's own",
    )
    enable_gpu: bool = setting(
        "ACADEMY_ENABLE_GPU",
        True,
        "false: workers started here use no GPU and train on CPUs",
        also=("ENABLE_GPU",),
    )
    hang_seconds: float = setting(
        "ACADEMY_HANG_SECONDS",
        20.0,
        "time after which `academy up` starts a process again that does not answer",
        low=0.5,
    )
    wide_wait_seconds: float = setting(
        "ACADEMY_WIDE_WAIT_SECONDS",
        300.0,
        "wait after which a host keeps its free GPUs for a job of several GPUs",
        low=0,
    )
    foreign_gpu_bytes: int = setting(
        "ACADEMY_FOREIGN_GPU_BYTES",
        0,
        "memory that processes of others may hold on a GPU that takes jobs",
        low=0,
    )


@dataclass(frozen=True)
class Gang:
    """Trainings on several hosts."""

    address: str = setting(
        "ACADEMY_GANG_ADDRESS",
        "",
        "IP address at which the trainers of other hosts reach this host's; empty: the one from "
        "which it talks to PostgreSQL",
        form=forms.ip_address,
    )
    seconds: float = setting(
        "ACADEMY_GANG_SECONDS",
        600.0,
        "time in which the hosts of one training have to have its files; else it is tried again",
        low=1,
    )
