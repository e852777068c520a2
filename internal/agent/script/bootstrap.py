# What a script run by Slipway can call.
import base64
import os
import runpy
import sys

_nonce = ""


class _Variables(dict):
    """A dictionary whose keys are found in any case."""

    def __init__(self):
        super().__init__()
        self._names = {}

    def __setitem__(self, key, value):
        super().__setitem__(self._names.setdefault(key.lower(), key), value)

    def __missing__(self, key):
        name = self._names.get(key.lower()) if isinstance(key, str) else None
        if name is None or name == key:
            raise KeyError(key)
        return dict.__getitem__(self, name)

    def __contains__(self, key):
        return isinstance(key, str) and key.lower() in self._names

    def get(self, key, default=None):
        return self[key] if key in self else default


octopusvariables = _Variables()


def _encode(value):
    return base64.b64encode(str(value).encode("utf-8", "surrogateescape")).decode("ascii")


def _decode(value):
    return base64.b64decode(value).decode("utf-8", "surrogateescape")


def _message(_kind, **attributes):
    text = "".join(" {0}='{1}'".format(key, _encode(value)) for key, value in attributes.items())
    print("##octopus[{0}{1}{2}]".format(_kind, text, _nonce), flush=True)


def _level(level, message):
    _message("stdout-" + level)
    print(message, flush=True)
    _message("stdout-default")


def get_octopusvariable(key):
    return octopusvariables[key]


def set_octopusvariable(name, value, sensitive=False):
    octopusvariables[name] = value
    if sensitive:
        _message("setVariable", name=name, value=value, sensitive="True")
    else:
        _message("setVariable", name=name, value=value)


def createartifact(path, fileName=None):
    if fileName is None:
        fileName = os.path.basename(path)
    length = os.stat(path).st_size if os.path.isfile(path) else 0
    path = os.path.abspath(path)
    _level("verbose", "Artifact {0} will be collected from {1} after this step completes".format(fileName, path))
    _message("createArtifact", path=path, name=fileName, length=length)


def updateprogress(progress, message=""):
    _message("progress", percentage=progress, message=message)


def failstep(message=None):
    if message is not None:
        _message("resultMessage", message=message)
    sys.exit(-1)


def printverbose(message):
    _level("verbose", message)


def printhighlight(message):
    _level("highlight", message)


def printwait(message):
    _level("wait", message)


def printwarning(message):
    _level("warning", message)


def _read_variables(path):
    with open(path, encoding="ascii") as lines:
        for line in lines:
            name, _, value = line.rstrip("\n").partition(" ")
            octopusvariables[_decode(name)] = _decode(value)


def _run(path, arguments):
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass
    sys.argv[1:] = arguments
    sys.path[0] = os.path.dirname(path)
    given = (
        get_octopusvariable, set_octopusvariable, createartifact, updateprogress, failstep,
        printverbose, printhighlight, printwait, printwarning,
    )
    names = {function.__name__: function for function in given}
    runpy.run_path(path, init_globals=dict(names, octopusvariables=octopusvariables), run_name="__main__")


