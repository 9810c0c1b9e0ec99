"""The last step before exec of a child that must not outlive us; run as a script, so it imports nothing of ours.

A `preexec_fn` would do the same inside the parent, but it may deadlock there when other threads run.
The numbers are Linux's, from linux/prctl.h, linux/sched.h and linux/capability.h.
"""

import ctypes
import os
import sys

SAME_USER = "same"

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_SECBIT_KEEP_CAPS = 1 << 4
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAPABILITY_VERSION = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


def child_command(arguments: list[str], *, death_signal: int, user: str = SAME_USER) -> list[str]:
    """Return the command line of a child that the kernel sends `death_signal` when its parent *thread* ends.

    So start it from a thread that lives as long as the child should. The child keeps its pid through the exec.

    Args:
        arguments: the program, by its absolute path, and its arguments.
        death_signal: ignored where the kernel is not Linux; there the child outlives a killed parent.
        user: `same`; `mapped:UID:GID`, us under another number in a user namespace; `dropped:UID:GID`.
    """
    step = [sys.executable, "-I", "-S", __file__]
    return [*step, str(os.getpid()), str(int(death_signal)), user, *arguments]


def _main(parent: str, death_signal: str, user: str, *arguments: str) -> None:
    try:
        _become(user)
        if sys.platform == "linux":
            # After the change of user, which would clear it.
            _check(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0))
            if os.getppid() != int(parent):
                sys.exit("the parent ended before its child could start")
        os.execv(arguments[0], arguments)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot start {arguments[0]} as {user}: {error}")


def _become(user: str) -> None:
    kind, *numbers = user.split(":")
    if kind == SAME_USER:
        return
    uid, gid = (int(number) for number in numbers)
    if kind == "mapped":
        _enter_user_namespace(uid, gid)
    else:
        _drop_to(uid, gid)


def _enter_user_namespace(uid: int, gid: int) -> None:
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER))
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/gid_map", f"{gid} {outer_gid} 1")
    _write("/proc/self/uid_map", f"{uid} {outer_uid} 1")


def _drop_to(uid: int, gid: int) -> None:
    if sys.platform == "linux":
        # Without NO_SETUID_FIXUP access(2), by which initdb and postgres find themselves, knows no capabilities.
        # Where a container withholds it, binaries below a private directory stay out of reach.
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP | _SECBIT_KEEP_CAPS, 0, 0, 0) != 0:
            _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if sys.platform == "linux":
        _keep_search_permission()


def _keep_search_permission() -> None:
    # The new user must still reach directories and binaries below, say, /root. Of root's powers it keeps the one
    # to read and search, or, where a container withholds that, the one to ignore file modes; else none.
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        mask = 1 << capability
        effective_permitted_inheritable = (ctypes.c_uint32 * 6)(mask, mask, mask)
        if libc.capset(header, effective_permitted_inheritable) == 0:
            _check(libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))
            return


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would double this script's start time
        file.write(text)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    _main(*sys.argv[1:])
