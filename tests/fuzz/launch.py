"""Runs commands as children of this small process, and says what they took (a child's peak of memory begins with its parent's).

A line on standard input is a JSON array: the file for standard input, that for output, that for errors, then the command. The
answer is a line: exit code (negative: the signal that ended it), seconds of processor time, most bytes of memory.
"""

import json
import os
import resource
import sys

#: of processor time, which a child may take
SECONDS = int(os.environ.get("MODELPORT_FUZZ_SECONDS", "30"))
WRITING = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

for line in sys.stdin:
    given, out, err, *command = json.loads(line)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, given, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, out, WRITING, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, err, WRITING, 0o600),
    ]
    child = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    resource.prlimit(child, resource.RLIMIT_CPU, (SECONDS, SECONDS))
    _, status, usage = os.wait4(child, 0)
    print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, flush=True)
