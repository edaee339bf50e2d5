from zkinfer.jobs import *  # noqa: F403 (the former name of zkinfer.jobs)
