"""Running something as a user whom permissions bind, also where the tests run as root."""

import os
import traceback
from collections.abc import Callable

NOBODY = 65534


def as_nobody(action: Callable[[], None]) -> None:
    """Call a function in a fork of this process that gave up root's rights; it has to return."""
    child = os.fork()
    if not child:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, "see what the child printed"
