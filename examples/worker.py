"""Jobs in worker threads, whose progress a web page could show: each job is a session.

The function `export` is the body of a task, as for Celery or RQ. It gets the token of its job, which is what a broker
would carry. Here a queue and two threads are the broker and the workers.
"""

import threading
from datetime import timedelta
from queue import Queue

from ndb_models import Expiry, SessionModel
from ndb_models.sync import SyncClient, SyncRepository


class Export(SessionModel, expiry=Expiry(idle=timedelta(hours=1))):
    """A job: an export of rows."""

    rows: int
    done: int = 0
    status: str = "waiting"
    cancelled: bool = False


client = SyncClient("memory://")  # a worker on another machine would use ws:// or wss://
jobs = SyncRepository(client, Export)


def begin(job: Export) -> None:
    """Take a job that waits."""
    job.status = "cancelled" if job.cancelled else "running"


def export(tkn: int) -> None:
    """Export the rows of a job, in parts. Between them, look whether it was cancelled."""
    job = jobs.mutate(tkn, begin)
    while job.status == "running":
        part = min(100, job.rows - job.done)  # here the part would be written
        job = jobs.update(tkn, done=job.done + part)
        if job.cancelled:
            job = jobs.update(tkn, status="cancelled")
        elif job.done == job.rows:
            job = jobs.update(tkn, status="done")


def work(queue: "Queue[int | None]") -> None:
    """Be a worker: do jobs until there are no more."""
    while (tkn := queue.get()) is not None:
        export(tkn)


def main() -> None:
    """Do three jobs, one of which is cancelled before it begins."""
    queue: Queue[int | None] = Queue()
    submitted = [jobs.create(Export(rows=rows)) for rows in (250, 1000, 70)]
    jobs.update(submitted[1].tkn, cancelled=True)
    workers = [threading.Thread(target=work, args=(queue,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for job in submitted:
        queue.put(job.tkn)
    for _ in workers:
        queue.put(None)
    for worker in workers:
        worker.join()
    for job in submitted:
        job = jobs.refresh(job)
        print(f"{job.done} of {job.rows} rows: {job.status}")
    client.close()


if __name__ == "__main__":
    main()
