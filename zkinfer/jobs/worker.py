"""A worker process: loads the keys once, proves what it is sent, and ends when the other side closes.

python -m zkinfer.jobs.worker DESCRIPTOR KEYS

Signals that schedulers and terminals send to a whole group of processes are for the process that leads the job, which
starts a worker with these signals blocked: a worker finishes its batch.
"""

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from zkinfer.backend import Keys
from zkinfer.jobs.processes import answer
from zkinfer.jobs.work import Work, prove_work


def serve(connection: Connection, keys: Keys) -> None:
    """Prove batches until the other side closes."""
    decoder = msgspec.msgpack.Decoder(Work)
    answer(connection, lambda message: msgspec.msgpack.encode(prove_work(keys, decoder.decode(message))))


def main() -> None:
    """The process."""
    serve(Connection(int(sys.argv[1])), Keys.load(Path(sys.argv[2])))


if __name__ == "__main__":
    main()
