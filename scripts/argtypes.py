"""argtypes.py: types for argparse, by which scripts look at their words before they begin: a refusal names the word, with exit code 2.

Whether something is there is asked of os.path: a Path raises an OSError where the system won't say (a name that is too long, a folder that
may not be looked into), which argparse lets through.
"""
import argparse
import os
import shlex
import shutil
import subprocess
from pathlib import Path


def refuse(sentence):
    raise argparse.ArgumentTypeError(sentence)


def at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        refuse(f"{text!r} is no whole number above 0")
    return int(text)


def numbers(text):
    """Whole numbers above 0 between commas."""
    return [at_least_one(word) for word in text.split(",")]


def program(text):
    """A program that there is."""
    found = shutil.which(text)
    if found is None:
        refuse(f"there is no program {text!r}; build it, or say where it is")
    return Path(found)


def command(text):
    """The words of a command whose program there is."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        refuse(f"{text!r} is no command: {error}")
    if not words or shutil.which(words[0]) is None:
        refuse(f"there is no program {words[0] if words else ''!r}; install it, or say where it is")
    return words


def file(text):
    """A file that there is."""
    if not os.path.isfile(text):
        refuse(f"{text!r}: this is a folder, not a file" if os.path.isdir(text) else f"{text!r}: there is no such file")
    return Path(text)


def folder(text):
    """A folder that there is."""
    if not os.path.isdir(text):
        refuse(f"{text!r}: this is a file, not a folder" if os.path.exists(text) else f"{text!r}: there is no such folder")
    return Path(text)


def holding(*names):
    """The type of a folder that has these files."""
    def folder_with(text):
        found = folder(text)
        for name in names:
            if not os.path.isfile(found / name):
                refuse(f"{text!r}: this folder has no {name}")
        return found
    return folder_with


def config(text):
    """A config, or a folder that has one."""
    return holding("config.json")(text) if os.path.isdir(text) else file(text)


def writable(text):
    """A file that can be written once the work is done."""
    path = Path(text)
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else path.parent, os.W_OK):
        refuse(f"{text!r} can't be written")
    return path


def makeable(text):
    """A folder that is there or can be made."""
    path = Path(text).absolute()
    there = next(one for one in (path, *path.parents) if os.path.exists(one))
    if not os.path.isdir(there) or not os.access(there, os.W_OK):
        refuse(f"{text!r}: no folder can be made there")
    return Path(text)


def check_config(parser, tfrun, model, *words):
    """What tfrun would refuse of a config and options is refused now, in its own words."""
    told = subprocess.run([str(word) for word in (tfrun, "config", model, *words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if told.returncode != 0:
        parser.error(told.stderr.strip().removeprefix("tfrun: "))
