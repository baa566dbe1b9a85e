"""The settings of the environment. What is wrong ends the program with status 2."""

import os
import sys


def usage(text):
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(2)


def whole(name, text):
    if not text.isdecimal() or int(text) < 1:
        usage(f"{name}: '{text}' is not a whole number from 1")
    return int(text)


def number(name, default):
    return whole(name, os.environ.get(name) or str(default))


def numbers(name, default):
    return [whole(name, text) for text in (os.environ.get(name) or default).split()]


def names(name, known):
    chosen = (os.environ.get(name) or " ".join(known)).split()
    for text in chosen:
        if text not in known:
            usage(f"{name}: '{text}' is not one of {', '.join(known)}")
    return chosen


def cpus():
    return len(os.sched_getaffinity(0))
